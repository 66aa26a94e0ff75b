//! Tells this replica's resolver of orders before its look around would find them.
//!
//! A hint saves time; the due-time index in Redis is the truth. One that is lost, or was one too
//! many, costs the few seconds of a look around.

use crate::model::identity::Partition;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Hints on their way at once.
const MOST: usize = 4096;

/// An order that is to be looked at.
#[derive(Debug)]
pub struct Hint {
    /// Where it is.
    pub partition: Partition,
    /// Its id.
    pub id: Box<str>,
    /// When.
    pub at: Instant,
}

/// The telling end.
#[derive(Clone, Debug)]
pub struct Hints(mpsc::Sender<Hint>);

/// Both ends.
pub fn hints() -> (Hints, mpsc::Receiver<Hint>) {
    let (tell, told) = mpsc::channel(MOST);
    (Hints(tell), told)
}

impl Hints {
    /// This order is to be looked at after so long.
    pub fn tell(&self, partition: Partition, id: &str, after: Duration) {
        let hint = Hint { partition, id: id.into(), at: Instant::now() + after };
        // Where there is no room the look around has to do.
        let _ = self.0.try_send(hint);
    }
}
