//! The pure vocabulary: orders and their states, and everything that reads meaning out of bytes.
//!
//! Promises: no I/O (but for random bits), linear time, bounded depth, no panics, whatever the
//! bytes. Knows nothing of Redis, configuration or the clock; of HTTP it knows names and statuses.
//! Where callers and payment services could read one text in two ways, these rooms refuse it:
//! whoever reads another order number than we do pays twice.

pub mod address;
pub mod event;
pub mod field;
pub mod form;
pub mod identity;
pub mod ignore;
pub mod json;
pub mod key;
pub mod lifecycle;
pub mod order;
pub mod outcome;
pub mod path;
pub mod response;
pub mod seal;
pub mod source;
pub mod token;
pub mod trace;
pub mod xml;

#[cfg(test)]
mod noise {
    //! Repeatable hostile input.

    /// `rounds` inputs of up to 60 bytes, each drawn from `alphabet` by a fixed-seed xorshift.
    pub(super) fn each(rounds: usize, alphabet: &[u8], mut feed: impl FnMut(&[u8])) {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as usize % below
        };
        for _ in 0..rounds {
            let input: Vec<u8> = (0..next(60)).map(|_| alphabet[next(alphabet.len())]).collect();
            feed(&input);
        }
    }

    /// Every byte there is.
    pub(super) fn bytes() -> Vec<u8> {
        (0..=255).collect()
    }
}
