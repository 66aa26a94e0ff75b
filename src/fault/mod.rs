//! Fault simulation: which accident happens where, to whom and how often.
//!
//! A tester puts rules on the [`Board`]; the rooms above ask it at the places a payment passes
//! ([`At`]) and perform what it says ([`Deed`]). This room decides and waits; it opens no
//! connection, reads no request and writes no answer. Unless `ONCEWARD_FAULTS=on` there is no board,
//! and asking costs one branch.
//!
//! One fault, one file: `kinds/` says of each what it plays, what it takes and where it may stand.
//! Whom a rule is about is matched against the [`Subject`] the running task is about; a task that
//! serves no order in particular has none, and only rules for everybody meet it.
//!
//! A rule leaves nothing behind: what it holds back goes on as soon as it is removed or replaced.

mod board;
mod kinds;
mod metrics;
mod place;
mod read;
mod rule;
mod subject;

pub use board::{Board, MOST_RULES};
pub use kinds::{Deed, corrupt};
pub use place::At;
pub use read::BadRule;
pub use rule::{Firing, Rule};
pub use subject::{Carried, Carry, Subject};

use hyper::header::{HeaderMap, HeaderName};
use metrics::FaultMetrics;
use place::Side;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The header by which an answer tells which rules touched it.
pub const HEADER: HeaderName = HeaderName::from_static("onceward-fault");

/// The way to the board; empty while fault simulation is off.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Board>>);

impl Faults {
    /// An empty board, or none. `stop` is what SIGTERM cancels: a rule may do the same.
    pub fn new(on: bool, registry: &mut Registry, stop: CancellationToken) -> Faults {
        let metrics = FaultMetrics::new(registry, on);
        Faults(on.then(|| Arc::new(Board::new(metrics, stop))))
    }

    /// The board, where there is one.
    pub fn board(&self) -> Option<&Board> {
        self.0.as_deref()
    }

    /// Whether anything could happen at all.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Who a request with these headers is; nobody in particular while faults are off.
    pub fn subject(&self, headers: &HeaderMap) -> Option<Arc<Subject>> {
        self.0.as_ref().map(|_| Arc::new(Subject::of(headers.clone())))
    }

    /// The order a worker is about; none while faults are off.
    pub fn order(&self, route: &str, key: &str) -> Option<Arc<Subject>> {
        self.0.as_ref().map(|_| Arc::new(Subject::about(route, key)))
    }

    /// What happens here before anything else does.
    pub fn before(&self, at: At) -> Vec<Firing> {
        self.ask(at, Side::Before, None)
    }

    /// What happens here once the other side has acted.
    pub fn after(&self, at: At) -> Vec<Firing> {
        self.ask(at, Side::After, None)
    }

    /// What happens to a Redis command of this name.
    pub fn to_command(&self, at: At, command: &'static str) -> Vec<Firing> {
        self.ask(at, Side::Before, Some(command))
    }

    fn ask(&self, at: At, side: Side, command: Option<&'static str>) -> Vec<Firing> {
        match &self.0 {
            None => Vec::new(),
            Some(board) => board.ask(at, side, command),
        }
    }
}
