//! What can go wrong: one fault, one file.

mod body;
mod corrupt;
mod crash;
mod cut;
mod delay;
mod duplicate;
mod error;
mod forget;
mod lose;
mod pad;
mod reorder;
mod reset;
mod status;
mod stop;

pub use corrupt::corrupt;
pub(super) use delay::LONGEST;

use super::place::{At, Side};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::Value;
use std::time::Duration;

/// What happens; each is described in the file of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is described in the file of its name")]
pub enum Deed {
    Delay(Duration),
    Lose,
    Reset,
    Status(StatusCode),
    Body(Bytes),
    Pad(usize),
    Cut(usize),
    Corrupt,
    Duplicate,
    Reorder,
    Error(String),
    Forget,
    Stop,
    Crash,
}

/// One kind of fault.
pub(super) struct Kind {
    /// Its name in a rule's `do`.
    pub(super) word: &'static str,
    /// Where it means something.
    pub(super) at: &'static [At],
    /// On which side of a call it strikes.
    pub(super) of_call: Side,
    /// What it takes, for whoever gave it something else.
    pub(super) takes: &'static str,
    /// Reads what it takes.
    pub(super) read: fn(&Value) -> Option<Deed>,
}

/// Every kind, in the README's order.
pub(super) const KINDS: [Kind; 14] = [
    delay::KIND,
    lose::KIND,
    reset::KIND,
    status::KIND,
    body::KIND,
    pad::KIND,
    cut::KIND,
    corrupt::KIND,
    duplicate::KIND,
    reorder::KIND,
    error::KIND,
    forget::KIND,
    stop::KIND,
    crash::KIND,
];

/// Everywhere.
const ANYWHERE: &[At] = &At::ALL;

/// Wherever upstream answers.
const ANSWERS: &[At] = &[At::UpstreamResponse, At::Query, At::Cancel, At::Callback];

/// For kinds that take nothing: `true`, so that a rule reads as a sentence.
const TRUE: &str = "expected true";

/// `deed`, where `true` was given.
fn when_true(value: &Value, deed: Deed) -> Option<Deed> {
    (value == &Value::Bool(true)).then_some(deed)
}

impl Deed {
    /// Its kind.
    pub(super) fn kind(&self) -> &'static Kind {
        match self {
            Deed::Delay(_) => &delay::KIND,
            Deed::Lose => &lose::KIND,
            Deed::Reset => &reset::KIND,
            Deed::Status(_) => &status::KIND,
            Deed::Body(_) => &body::KIND,
            Deed::Pad(_) => &pad::KIND,
            Deed::Cut(_) => &cut::KIND,
            Deed::Corrupt => &corrupt::KIND,
            Deed::Duplicate => &duplicate::KIND,
            Deed::Reorder => &reorder::KIND,
            Deed::Error(_) => &error::KIND,
            Deed::Forget => &forget::KIND,
            Deed::Stop => &stop::KIND,
            Deed::Crash => &crash::KIND,
        }
    }

    /// On which side it strikes at a place.
    pub(super) fn side(&self, at: At) -> Side {
        match (at, self) {
            // A request is read before it can have come twice.
            (At::Request, Deed::Duplicate) => Side::After,
            _ if at.is_call() => self.kind().of_call,
            (At::UpstreamResponse | At::Response, _) => Side::After,
            _ => Side::Before,
        }
    }
}
