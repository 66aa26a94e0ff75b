//! What a rate of payments needs, from what was measured here: cores for sidecars, shards and memory
//! for Redis.

use crate::contender::Kind;
use crate::figures::{Figures, Sample};
use std::fmt::Write;

/// Payments a second.
const RATES: [f64; 3] = [1e3, 5e4, 1e6];

/// How much of a core, or of a shard, is planned with: what is left takes peaks, failovers and
/// persistence.
const PLANNED: f64 = 0.6;

/// Of the payments, how many are sent a second time.
const AGAIN: f64 = 0.1;

/// How long a final order is kept by default, RECORD_TTL, in seconds.
const KEPT: f64 = 24.0 * 3600.0;

/// The table, and the factors it rests on; nothing where one of them was not measured.
pub(crate) fn markdown(figures: &Figures) -> Option<String> {
    let of = |workload, kind, figure: fn(&Sample) -> Option<f64>| {
        Some(figures.spread(workload, kind, figure)?.median)
    };
    let first = of("first", Kind::Onceward, |sample| sample.cpu)?;
    let first_redis = of("first", Kind::Onceward, |sample| sample.redis_cpu)?;
    let record = of("first", Kind::Onceward, |sample| sample.record)?;
    // A second copy may meet any replica: it is taken to ask Redis.
    let again = of("duplicate", Kind::OncewardThroughRedis, |sample| sample.cpu)?;
    let again_redis = of("duplicate", Kind::OncewardThroughRedis, |sample| sample.redis_cpu)?;
    let sidecar = first + AGAIN * again;
    let redis = first_redis + AGAIN * again_redis;
    let mut text = format!(
        "Measured: {first:.1} us of a core for a first request, {again:.1} us for a duplicate; of \
         Redis {first_redis:.1} and {again_redis:.1} us; 2 commands for a payment, 1 for a \
         duplicate; {record:.0} bytes a record. Planned with: {:.0} % of a core or shard, \
         {:.0} % of payments sent twice, RECORD_TTL 24h. So a sidecar core takes {:.0} payments a \
         second and a Redis shard {:.0}.\n\n\
         | payments a second | sidecar cores | Redis shards | records kept | memory a shard |\n\
         |---|---|---|---|---|\n",
        PLANNED * 100.0,
        AGAIN * 100.0,
        PLANNED * 1e6 / sidecar,
        PLANNED * 1e6 / redis,
    );
    for rate in RATES {
        let need = |us: f64| (rate * us / 1e6 / PLANNED).ceil();
        let (shards, records) = (need(redis), rate * KEPT);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {rate:.0} | {:.0} | {shards:.0} | {:.1} million | {:.0} GB |",
            need(sidecar),
            records / 1e6,
            (records * record / shards / 1e9).ceil(),
        );
    }
    Some(text)
}
