//! What is played: who acts, which accidents may happen, and what may come next.

use super::actor::Part;

/// How many accidents may happen in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accidents {
    /// An actor dies: what it was about to do is not done, now or ever.
    pub crash: u8,
    /// Redis or the payment service does it, and the answer is lost.
    pub lost: u8,
    /// A command is held up on the way, its sender hears nothing, and it arrives later or never.
    pub late: u8,
    /// The order's lease is gone, whoever holds it.
    pub lease: u8,
    /// The payment service declines to begin (429).
    pub decline: u8,
    /// All of them together.
    pub all: u8,
}

impl Accidents {
    pub fn may(&self, kind: impl Fn(&Accidents) -> u8) -> bool {
        self.all > 0 && kind(self) > 0
    }

    pub fn spend(&mut self, kind: impl Fn(&mut Accidents) -> &mut u8) {
        *kind(self) -= 1;
        self.all -= 1;
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Act(usize, Event),
    LoseLease,
    Deliver(usize),
    /// What is held up never arrives.
    Forget,
}

/// What becomes of an actor's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Pass,
    LoseReply,
    HoldUp,
    Crash,
    Decline,
    /// It has waited long enough for another copy of its callback.
    Leave,
}

/// What is played.
#[derive(Clone, Debug)]
pub struct Play {
    pub cast: Vec<Part>,
    pub accidents: Accidents,
    /// A charge cannot be paid back by a cancel.
    pub firm: bool,
    /// A cancel is told that there is no such order, whatever was charged.
    pub forgets: bool,
    /// The route says on_unknown retry.
    pub retry: bool,
    /// RESOLVE_DEADLINE is over when a resolver comes.
    pub overdue: bool,
    /// The guard takes a claim whose answer it did not get for granted: a mistake.
    pub believes: bool,
}
