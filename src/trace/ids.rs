//! Names of traces and spans: random enough that no two are alike and a share of them is a fair one.

use std::sync::atomic::{AtomicU64, Ordering};

/// The step between two seeds (SplitMix64: Steele, Lea, Flood, 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// This process's names.
#[derive(Debug)]
pub(super) struct Ids {
    next: AtomicU64,
}

impl Ids {
    /// Begins where the system's randomness says.
    pub(super) fn new() -> Result<Ids, getrandom::Error> {
        Ok(Ids { next: AtomicU64::new(getrandom::u64()?) })
    }

    /// A trace's.
    pub(super) fn trace(&self) -> [u8; 16] {
        (u128::from(self.number()) << 64 | u128::from(self.number())).to_be_bytes()
    }

    /// A span's.
    pub(super) fn span(&self) -> [u8; 8] {
        self.number().to_be_bytes()
    }

    /// The next number; every one comes once in 2^64, none of them zero.
    fn number(&self) -> u64 {
        let mut number = self.next.fetch_add(STEP, Ordering::Relaxed);
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)).max(1)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_differ_and_lie_everywhere() {
        let ids = Ids::new().unwrap();
        let names: HashSet<u64> = (0..4096).map(|_| u64::from_be_bytes(ids.span())).collect();
        assert_eq!(names.len(), 4096);
        let low = names.iter().filter(|name| **name < u64::MAX / 4).count();
        assert!((900..1150).contains(&low), "{low} of 4096 in the lowest quarter");
        assert_ne!(Ids::new().unwrap().trace(), Ids::new().unwrap().trace());
    }
}
