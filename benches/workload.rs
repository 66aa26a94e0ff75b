//! What is measured, and one turn of one contender at it.

use crate::burst::burst;
use crate::contender::{Contender, Kind, Place, Sidecar};
use crate::figures::Sample;
use crate::load::{load, prime};
use crate::pace::pace;
use crate::redis::Redis;
use crate::upstream::Upstream;
use crate::{BenchError, Length};
use std::path::Path;

/// How it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// As much as the machine takes, of this kind of `wrk/order.lua`.
    Flood(&'static str),
    /// 1,000 requests a second.
    Paced,
    /// 64 copies of an order at once.
    Burst,
}

/// One workload.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// How it is sent.
    pub(crate) how: How,
    /// Who takes part.
    pub(crate) contenders: &'static [Kind],
}

use Kind::{Direct, EmptyScript, HyperAlone, Nginx, NginxLua, NginxResty};
use Kind::{Onceward, OncewardThroughRedis, WayAlone, WritesAlone};

/// All of them.
pub(crate) const ALL: &[Workload] = &[
    Workload {
        name: "first",
        how: How::Flood("first"),
        contenders: &[Direct, Nginx, NginxLua, NginxResty, Onceward, WayAlone, WritesAlone],
    },
    Workload {
        name: "duplicate",
        how: How::Flood("duplicate"),
        contenders: &[
            NginxLua,
            NginxResty,
            OncewardThroughRedis,
            EmptyScript,
            Onceward,
            HyperAlone,
        ],
    },
    Workload {
        name: "10 % duplicates",
        how: How::Flood("mixed"),
        contenders: &[NginxLua, NginxResty, Onceward],
    },
    Workload {
        name: "not protected",
        how: How::Flood("pass"),
        contenders: &[Direct, Nginx, Onceward],
    },
    Workload {
        name: "not protected, 1 MiB",
        how: How::Flood("large"),
        contenders: &[Direct, Nginx, Onceward],
    },
    Workload {
        name: "first, 1,000 a second",
        how: How::Paced,
        contenders: &[Direct, Nginx, NginxLua, NginxResty, Onceward, WayAlone],
    },
    Workload {
        name: "64 copies at once",
        how: How::Burst,
        contenders: &[NginxLua, NginxResty, Onceward],
    },
];

/// What every turn needs.
pub(crate) struct Bench<'a> {
    /// The bench's temporary folder.
    pub(crate) folder: &'a Path,
    /// The payment service.
    pub(crate) upstream: &'a Upstream,
    /// Everybody's Redis.
    pub(crate) redis: &'a mut Redis,
    /// Onceward.
    pub(crate) sidecar: &'a Sidecar,
    /// How long a turn is.
    pub(crate) length: Length,
}

impl Bench<'_> {
    /// What a contender stands between.
    pub(crate) fn place(&self) -> Place<'_> {
        let Bench { folder, upstream, sidecar, .. } = *self;
        Place { folder, upstream, redis: self.redis, sidecar }
    }

    /// One turn of a contender that is started for it.
    ///
    /// # Errors
    /// Why there is no figure.
    pub(crate) fn measure(
        &mut self,
        kind: Kind,
        workload: &Workload,
    ) -> Result<Sample, BenchError> {
        self.redis.clear()?;
        let contender = Contender::start(kind, &self.place())?;
        let mut sample = match workload.how {
            How::Flood(what) => self.flood((kind, &contender), what)?,
            How::Paced => {
                load(contender.address, "first", "warm", 1)?;
                let latency = pace(contender.address, "run", 2 * self.length.seconds)?;
                let (p50, p99) = (Some(latency.p50), Some(latency.p99));
                Sample { p50, p99, ..Sample::default() }
            }
            How::Burst => {
                load(contender.address, "first", "warm", 1)?;
                let burst = burst(contender.address, "run", self.upstream)?;
                if kind == Onceward && burst.most_hits != 1 {
                    let hits = burst.most_hits;
                    return Err(BenchError::Wrong(format!("{hits} copies reached upstream")));
                }
                let (hits, p99) = (Some(burst.most_hits as f64), Some(burst.slowest * 1e3));
                Sample { hits, p99, ..Sample::default() }
            }
        };
        let process = contender.process.as_ref();
        sample.memory = process.map(|process| process.peak_memory() as f64 / 1e6);
        Ok(sample)
    }

    /// As much as it takes, after a second that does not count.
    fn flood(
        &mut self,
        (kind, contender): (Kind, &Contender),
        what: &str,
    ) -> Result<Sample, BenchError> {
        load(contender.address, if what == "duplicate" { "first" } else { what }, "warm", 1)?;
        if what == "duplicate" {
            prime(contender.address, "run")?;
        }
        self.redis.command::<()>(&["CONFIG", "RESETSTAT"])?;
        let process = contender.process.as_ref();
        let cpu = |redis: &Redis| (process.map_or(0.0, |p| p.cpu()), redis.process.cpu());
        let held = self.redis.memory()?;
        let before = cpu(self.redis);
        let load = load(contender.address, what, "run", self.length.seconds)?;
        let after = cpu(self.redis);
        let commands = self.redis.ran(kind.commands())? as f64;
        let records = self.redis.memory()?.saturating_sub(held) as f64;
        // Seconds a request are milliseconds per thousand, times a million.
        let each = |seconds: f64| seconds * 1e6 / load.requests;
        Ok(Sample {
            per_second: Some(load.requests / load.seconds),
            p50: Some(load.p50),
            p99: Some(load.p99),
            cpu: process.map(|_| each(after.0 - before.0)),
            redis_cpu: (commands > 0.0).then(|| each(after.1 - before.1)),
            commands: process.map(|_| commands / load.requests),
            record: (what == "first" && commands > 0.0).then(|| records / load.requests),
            ..Sample::default()
        })
    }
}
