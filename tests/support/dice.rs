//! Numbers that are the same in every run of one seed.

use std::time::Duration;

/// A generator of them (xorshift64, Marsaglia 2003).
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    /// Any seed will do.
    pub fn new(seed: u64) -> Dice {
        // From 0 it would never get away.
        Dice(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// From 0, below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Below so many milliseconds.
    pub fn pause(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.below(millis))
    }

    /// Whether one of `of` came up.
    pub fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// The same things in another order.
    pub fn shuffled<T>(&mut self, mut things: Vec<T>) -> Vec<T> {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last as u64 + 1) as usize);
        }
        things
    }
}
