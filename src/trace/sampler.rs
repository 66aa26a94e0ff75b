//! Which traces are kept: the samplers every OpenTelemetry SDK has, by the same names.

use crate::model::trace::TraceContext;

/// What is kept of traces that begin here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// All.
    All,
    /// None.
    None,
    /// So much of them, from 0 to 1.
    Ratio(f64),
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Of those that begin here.
    pub share: Share,
    /// Whether a caller's word counts for those that do not.
    pub parent_based: bool,
}

impl Default for Sampler {
    fn default() -> Sampler {
        Sampler { share: Share::All, parent_based: true }
    }
}

impl Sampler {
    /// Whether a span in that trace is kept.
    pub(super) fn keeps(&self, trace: &[u8; 16], parent: Option<&TraceContext>) -> bool {
        match (parent, self.share) {
            (Some(parent), _) if self.parent_based => parent.sampled,
            (_, Share::All) => true,
            (_, Share::None) => false,
            // All who are asked about a trace come to the same: by its name. 63 bits of it, as
            // other SDKs take them.
            (_, Share::Ratio(ratio)) => {
                let number = u128::from_be_bytes(*trace) as u64 >> 1;
                number < (ratio * (1_u64 << 63) as f64) as u64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_word_counts_where_it_may() {
        let parent = |sampled| TraceContext { trace: [1; 16], span: [1; 8], sampled };
        for (share, alone) in [(Share::All, true), (Share::None, false), (Share::Ratio(0.0), false)]
        {
            let based = Sampler { share, parent_based: true };
            let own = Sampler { share, parent_based: false };
            assert_eq!(based.keeps(&[1; 16], None), alone);
            for sampled in [true, false] {
                assert_eq!(based.keeps(&[1; 16], Some(&parent(sampled))), sampled);
                assert_eq!(own.keeps(&[1; 16], Some(&parent(sampled))), alone);
            }
        }
    }

    #[test]
    fn a_share_is_a_share_of_the_names() {
        let keeps = |ratio, low: u64| {
            let sampler = Sampler { share: Share::Ratio(ratio), parent_based: true };
            sampler.keeps(&u128::from(low).to_be_bytes(), None)
        };
        assert!(keeps(0.25, 0) && keeps(0.25, u64::MAX / 4 - 1));
        assert!(!keeps(0.25, u64::MAX / 4 + 4096) && !keeps(0.25, u64::MAX));
        assert!(keeps(1.0, u64::MAX) && !keeps(0.0, 0));
    }
}
