//! The lifecycle of one number as the contract tells it: no Redis, no clock.

use onceward::model::order::State;

/// What its two orders, by number, may do: from where, and to where. Both may begin where it does.
pub const MOVES: [(&[&str], &str); 2] = [(&["open"], "paid"), (&["open", "paid"], "closed")];

/// Where it stands, and which order moves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    pub state: &'static str,
    pub mover: Option<usize>,
    /// There is none: the order has no part in any.
    pub none: bool,
}

/// What keeps an order from its move.
pub enum Bar {
    Moving,
    Illegal,
}

impl Default for Life {
    fn default() -> Life {
        Life { state: "open", mover: None, none: false }
    }
}

impl Life {
    fn may_begin(&self, order: usize) -> bool {
        MOVES[order].0.contains(&self.state)
    }

    /// One move at a time, and only from where it starts.
    pub fn bars(&self, order: usize) -> Option<Bar> {
        match self.mover {
            _ if self.none => None,
            Some(mover) if mover != order => Some(Bar::Moving),
            _ if !self.may_begin(order) => Some(Bar::Illegal),
            _ => None,
        }
    }

    /// It is that order's to move.
    pub fn begin(&mut self, order: usize) {
        self.mover = Some(order).filter(|_| !self.none);
    }

    /// That order is in another state from now on; the state in which its success came too late.
    pub fn hear(&mut self, order: usize, to: State) -> Option<&'static str> {
        if self.none {
            return None;
        }
        let its = self.mover == Some(order) || (self.mover.is_none() && self.may_begin(order));
        match to {
            State::Succeeded if its => *self = Life { state: MOVES[order].1, ..Life::default() },
            State::Succeeded => return Some(self.state),
            State::None | State::Failed | State::Cancelled if self.mover == Some(order) => {
                self.mover = None;
            }
            State::None | State::Failed | State::Cancelled => {}
            _ if its => self.begin(order),
            _ => {}
        }
        None
    }
}
