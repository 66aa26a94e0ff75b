//! The business state that the orders of one number share, on whatever routes: `unpaid`, `paid`.
//!
//! An order on such a route makes one move in it: it begins only where the lifecycle stands in one
//! of the states its route names, and its success leads it to another.

use std::sync::Arc;
use std::time::Duration;

/// The move that the orders of one route make.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// The lifecycle's name.
    pub lifecycle: Box<str>,
    /// Where it stands before anybody moved it.
    pub start: Box<str>,
    /// Where the move may begin.
    pub from: Vec<Box<str>>,
    /// Where its success leads.
    pub to: Box<str>,
    /// How long the state is kept after its last move.
    pub keep: Duration,
    /// How long an order that moves it may be silent: longer than its record can live.
    pub hold: Duration,
}

/// The lifecycle of one order number, and an order's move in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// What stands in Redis names for it: a hash, never client text.
    pub id: Box<str>,
    /// The move.
    pub step: Arc<Move>,
}

/// Where a lifecycle stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: Box<str>,
    /// Its state.
    pub state: String,
    /// Whether an order is moving it.
    pub moving: bool,
}
