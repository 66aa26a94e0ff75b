//! What was measured, and what is said of it: medians, with the least and the most of all repeats.

use crate::contender::Kind;
use crate::workload::Workload;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One turn of one contender at one workload; what does not apply is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Requests answered a second.
    pub(crate) per_second: Option<f64>,
    /// Median latency, us.
    pub(crate) p50: Option<f64>,
    /// 99th percentile, us.
    pub(crate) p99: Option<f64>,
    /// CPU of the proxy, us a request (which is ms per 1,000 requests).
    pub(crate) cpu: Option<f64>,
    /// CPU of Redis, likewise.
    pub(crate) redis_cpu: Option<f64>,
    /// Commands sent to Redis, a request; what a script calls is none of its own.
    pub(crate) commands: Option<f64>,
    /// The most memory the proxy held, MB.
    pub(crate) memory: Option<f64>,
    /// Bytes a record takes in Redis, its part of the indexes and tables included.
    pub(crate) record: Option<f64>,
    /// Requests that reached upstream, an order; the most of any.
    pub(crate) hits: Option<f64>,
}

/// The median of some figures, the least and the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// In the middle.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The most.
    pub(crate) most: f64,
}

impl Spread {
    /// Of these; `None` of none.
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Spread> {
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        Some(Spread { median: figures[figures.len() / 2], least, most })
    }
}

/// All samples, by workload and contender.
#[derive(Default)]
pub(crate) struct Figures {
    samples: BTreeMap<(&'static str, &'static str), Vec<Sample>>,
    unmeasured: BTreeSet<&'static str>,
}

impl Figures {
    /// Adds a turn.
    pub(crate) fn add(&mut self, workload: &Workload, kind: Kind, sample: Sample) {
        self.samples.entry((workload.name, kind.name())).or_default().push(sample);
    }

    /// This contender cannot be measured here.
    pub(crate) fn cannot(&mut self, kind: Kind) {
        self.unmeasured.insert(kind.name());
    }

    /// Whether it cannot.
    pub(crate) fn is_unmeasured(&self, kind: Kind) -> bool {
        self.unmeasured.contains(kind.name())
    }

    /// One figure of all turns.
    pub(crate) fn spread(
        &self,
        workload: &str,
        kind: Kind,
        figure: fn(&Sample) -> Option<f64>,
    ) -> Option<Spread> {
        let samples = self.samples.get(&(workload, kind.name()))?;
        Spread::of(samples.iter().filter_map(figure).collect())
    }

    /// The median of one contender's figure over another's.
    pub(crate) fn ratio(
        &self,
        workload: &str,
        (kind, other): (Kind, Kind),
        figure: fn(&Sample) -> Option<f64>,
    ) -> Option<f64> {
        let over = self.spread(workload, other, figure)?.median;
        Some(self.spread(workload, kind, figure)?.median / over)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut show = |name: &str, figure: Option<f64>| match figure {
            Some(figure) => write!(f, "{name} {figure:.1}  "),
            None => Ok(()),
        };
        show("per second", self.per_second)?;
        show("cpu us", self.cpu)?;
        show("redis us", self.redis_cpu)?;
        show("commands", self.commands)?;
        show("p50 us", self.p50)?;
        show("p99 us", self.p99)?;
        show("MB", self.memory)?;
        show("bytes a record", self.record)?;
        show("hits", self.hits)
    }
}
