//! An order's states and the one table of what may follow what.
//!
//! Every path that moves an order asks this table; the scripts are handed its rows and only compare.

use std::fmt;

/// Where an order stands (contract, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Never seen, expired, or given back because nothing was sent.
    None,
    /// Accepted into the buffer, nothing sent.
    Queued,
    /// Claimed; bytes may have left.
    InFlight,
    /// An attempt may have reached upstream and its outcome is not known.
    Unknown,
    /// A cancel was asked for and is not confirmed yet.
    Cancelling,
    /// Final.
    Succeeded,
    /// Final.
    Failed,
    /// Final; a tombstone.
    Cancelled,
}

/// Each state and the states it may be entered from. What is not listed is refused.
const ENTERED_FROM: &[(State, &[State])] = &[
    // From unknown only on somebody's word that there is no such order: the permission to run again.
    (State::None, &[State::InFlight, State::Unknown]),
    // From unknown by the same word, where it was accepted into the buffer.
    (State::Queued, &[State::None, State::InFlight, State::Unknown]),
    (State::InFlight, &[State::None, State::Queued, State::Unknown]),
    // Out of the queue only as a dead letter.
    (State::Unknown, &[State::Queued, State::InFlight, State::Unknown]),
    (State::Cancelling, &[State::InFlight, State::Unknown]),
    (State::Succeeded, &[State::InFlight, State::Unknown, State::Cancelling]),
    (State::Failed, &[State::InFlight, State::Unknown]),
    (State::Cancelled, &[State::None, State::Queued, State::Cancelling]),
];

impl State {
    /// Every state, in the order of the contract's table.
    pub const ALL: [State; 8] = [
        State::None,
        State::Queued,
        State::InFlight,
        State::Unknown,
        State::Cancelling,
        State::Succeeded,
        State::Failed,
        State::Cancelled,
    ];

    /// The word used in records, headers and documents.
    pub fn word(self) -> &'static str {
        match self {
            State::None => "none",
            State::Queued => "queued",
            State::InFlight => "in_flight",
            State::Unknown => "unknown",
            State::Cancelling => "cancelling",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }

    /// The state of that word.
    pub fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }

    /// The states this one may be entered from.
    pub fn entered_from(self) -> &'static [State] {
        ENTERED_FROM.iter().find(|(to, _)| *to == self).map_or(&[], |(_, from)| from)
    }

    /// Likewise on a word about the payment alone, a query's or a callback's. One that is being
    /// cancelled is not ended by it: that it was paid is what its cancel call is there to undo.
    pub fn told_from(self) -> Vec<State> {
        let from = self.entered_from().iter().copied();
        from.filter(|from| *from != State::Cancelling).collect()
    }

    /// Whether nothing follows but expiry.
    pub fn is_final(self) -> bool {
        matches!(self, State::Succeeded | State::Failed | State::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// States as the scripts read them: words joined by commas.
pub fn words(states: &[State]) -> String {
    // Room for the longest lists there are.
    let mut words = String::with_capacity(64);
    for state in states {
        if !words.is_empty() {
            words.push(',');
        }
        words.push_str(state.word());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_final_state() {
        for to in State::ALL {
            for from in to.entered_from() {
                assert!(!from.is_final(), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn every_state_has_a_row_and_a_word_of_its_own() {
        for state in State::ALL {
            assert_eq!(State::from_word(state.word()), Some(state));
            assert!(!state.entered_from().is_empty());
        }
        assert_eq!(State::from_word("paid"), None);
    }

    #[test]
    fn only_a_claim_of_nothing_queued_or_unknown_starts_an_attempt() {
        assert_eq!(words(State::InFlight.entered_from()), "none,queued,unknown");
    }
}
