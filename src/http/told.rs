//! What answered requests count as: the one list behind the label `outcome`, its help and README's.

macro_rules! outcomes {
    ($($outcome:ident $word:literal $what:literal)*) => {
        /// What a request came to that was not refused; a refusal counts as its problem's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Outcome {
            $(#[doc = $what] $outcome,)*
        }

        impl Outcome {
            /// All of them.
            pub const ALL: &[Outcome] = &[$(Outcome::$outcome),*];

            /// The word on the label.
            pub fn word(self) -> &'static str {
                match self {
                    $(Outcome::$outcome => $word,)*
                }
            }
        }
    };
}

outcomes! {
    First "first" "The payment service's answer, passed on."
    Replay "replay" "The stored answer of the first."
    Unacknowledged "unacknowledged" "An answer to a callback that is no acknowledgement."
    Document "document" "The document of an order that ended without a response."
    Accepted "accepted" "Into the buffer."
    Passed "passed" "On a request that is not protected."
    Bypassed "bypassed" "On a request that was not protected, for Redis was away."
    Token "token" "A token."
    Order "order" "Where an order stands."
    Cancel "cancel" "A caller's cancel: done, or under way."
}
