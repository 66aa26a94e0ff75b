//! A payment's body until it is sent.

use bytes::Bytes;
use std::sync::{Mutex, PoisonError};

/// A body that is sent once: who sends it takes it, so that its memory is let go as soon as the
/// payment service has it, and not when that has answered.
#[derive(Debug)]
pub struct Unsent(Mutex<Option<Bytes>>);

impl Unsent {
    /// The body, for those who only look at it; `None` once it was taken.
    pub fn look(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The body, for the one who sends it.
    pub(super) fn take(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Clone for Unsent {
    fn clone(&self) -> Unsent {
        Unsent(Mutex::new(self.look()))
    }
}

impl From<Bytes> for Unsent {
    fn from(body: Bytes) -> Unsent {
        Unsent(Mutex::new(Some(body)))
    }
}
