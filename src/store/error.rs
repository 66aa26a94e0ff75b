//! What can go wrong between us and Redis, told apart by what it means for a payment.

use redis::RedisError;

/// Why a decision was not made, or is not known to have been made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No connection could be made: the command was never sent.
    #[error("Redis cannot be reached: {0}")]
    Unreached(String),
    /// The command was sent and no answer came, or one that does not say that nothing happened: it
    /// may have, or may still.
    #[error("no usable answer from Redis: {0}")]
    Lost(String),
    /// Redis declined before anything was written; `0` is its error word (`OOM`, `READONLY`, ...).
    #[error("Redis declined: {0}")]
    Declined(String),
    /// Too few replicas confirmed a claim.
    #[error("{confirmed} of {wanted} replicas confirmed")]
    Unconfirmed {
        /// How many did.
        confirmed: u64,
        /// How many must.
        wanted: u64,
    },
    /// A script answered with something its contract does not list.
    #[error("script {script} answered {reply}")]
    Protocol {
        /// The script's name.
        script: &'static str,
        /// The reply's word, or what was wrong with it.
        reply: String,
    },
}

impl StoreError {
    /// Whether the command may have taken effect.
    pub fn may_have_happened(&self) -> bool {
        !matches!(self, StoreError::Unreached(_) | StoreError::Declined(_))
    }

    /// Whether one record may be all that is behind it. Not when no server could be reached, nor when
    /// one declined all that it is asked; of one that gave no answer it cannot be said.
    pub(super) fn may_be_of_one_record(&self) -> bool {
        match self {
            StoreError::Declined(word) => word == FORMAT,
            StoreError::Lost(_) | StoreError::Protocol { .. } => true,
            StoreError::Unreached(_) | StoreError::Unconfirmed { .. } => false,
        }
    }

    /// Every [`StoreError::kind`].
    pub const KINDS: [&str; 5] = ["unreached", "lost", "declined", "unconfirmed", "protocol"];

    /// A short word for the metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            StoreError::Unreached(_) => "unreached",
            StoreError::Lost(_) => "lost",
            StoreError::Declined(_) => "declined",
            StoreError::Unconfirmed { .. } => "unconfirmed",
            StoreError::Protocol { .. } => "protocol",
        }
    }
}

/// Said by our own scripts, of a record that a later release wrote.
const FORMAT: &str = "FORMAT";

/// Error words Redis gives before it runs anything.
///
/// `NOPERM` is not among them: a script that lacks one permission fails where it needs it.
const BEFORE_RUNNING: [&str; 15] = [
    "OOM",
    "READONLY",
    "LOADING",
    "MISCONF",
    "NOREPLICAS",
    "MASTERDOWN",
    "BUSY",
    "NOSCRIPT",
    "NOAUTH",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CROSSSLOT",
    FORMAT,
];

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> StoreError {
        StoreError::of_word(error.code().unwrap_or_default(), error.category())
    }
}

impl StoreError {
    /// What an error of Redis' means that begins with this word.
    pub(super) fn of_word(word: &str, category: &str) -> StoreError {
        if BEFORE_RUNNING.contains(&word) {
            StoreError::Declined(word.to_owned())
        } else {
            // An error out of a running script may have come after a write: count it as lost.
            let said = [word, category].into_iter().filter(|text| !text.is_empty());
            StoreError::Lost(said.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_order_would_meet_is_not_laid_to_one_record() {
        let server = BEFORE_RUNNING.iter().filter(|word| **word != FORMAT);
        for word in server {
            assert!(!StoreError::of_word(word, "").may_be_of_one_record(), "{word}");
        }
        assert!(!StoreError::Unreached("refused".into()).may_be_of_one_record());
        for word in [FORMAT, "WRONGTYPE", "ERR"] {
            assert!(StoreError::of_word(word, "").may_be_of_one_record(), "{word}");
        }
    }
}
