//! The places at which something can go wrong.

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// A protected request came whole; nothing is decided about it yet.
    Request,
    /// An attempt is about to send; nothing has been sent.
    UpstreamRequest,
    /// Upstream has acted; the attempt has not seen its answer.
    UpstreamResponse,
    /// The answer to the caller, whatever it is.
    Response,
    /// The call that asks upstream about an order.
    Query,
    /// The call that cancels an order upstream.
    Cancel,
    /// The forwarding of a channel's notification.
    Callback,
    /// A Redis command, before it takes effect.
    RedisBefore,
    /// A Redis command that took effect; its answer has not been seen.
    RedisAfter,
}

/// On which side of the other party's doing a fault strikes, where a place covers both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Nothing has happened yet.
    Before,
    /// The other side has acted.
    After,
}

impl At {
    /// All of them, in the order in which a payment passes them.
    pub const ALL: [At; 9] = [
        At::Request,
        At::RedisBefore,
        At::RedisAfter,
        At::UpstreamRequest,
        At::UpstreamResponse,
        At::Response,
        At::Query,
        At::Cancel,
        At::Callback,
    ];

    /// Calls upstream as a whole: the attempt's is split into its two sides, these are not.
    pub(super) const CALLS: [At; 3] = [At::Query, At::Cancel, At::Callback];

    /// Its name in a rule.
    pub fn word(self) -> &'static str {
        match self {
            At::Request => "request",
            At::UpstreamRequest => "upstream_request",
            At::UpstreamResponse => "upstream_response",
            At::Response => "response",
            At::Query => "query",
            At::Cancel => "cancel",
            At::Callback => "callback",
            At::RedisBefore => "redis_before",
            At::RedisAfter => "redis_after",
        }
    }

    /// The place of that name.
    pub fn from_word(word: &str) -> Option<At> {
        At::ALL.into_iter().find(|at| at.word() == word)
    }

    /// Whether Redis is on the other side.
    pub fn is_redis(self) -> bool {
        matches!(self, At::RedisBefore | At::RedisAfter)
    }

    pub(super) fn is_call(self) -> bool {
        At::CALLS.contains(&self)
    }
}
