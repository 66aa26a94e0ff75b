//! Where the floor lies, beside what is aimed at and what was reached, all in one run.

use crate::contender::Kind;
use crate::figures::{Figures, Sample};
use std::fmt::Write;

/// What is aimed at.
struct Target {
    what: &'static str,
    workload: &'static str,
    figure: fn(&Sample) -> Option<f64>,
    /// At most; a share is one of what nginx + Lua takes that is written for speed.
    aim: &'static str,
    ours: Kind,
    floor: Kind,
}

const TARGETS: [Target; 6] = [
    Target {
        what: "first: CPU",
        workload: "first",
        figure: |sample| sample.cpu,
        aim: "0.50x",
        ours: Kind::Onceward,
        floor: Kind::WayAlone,
    },
    Target {
        what: "first: CPU of Redis",
        workload: "first",
        figure: |sample| sample.redis_cpu,
        aim: "0.50x, 16 us",
        ours: Kind::Onceward,
        floor: Kind::WritesAlone,
    },
    Target {
        what: "first, 1,000 a second: p99",
        workload: "first, 1,000 a second",
        figure: |sample| sample.p99,
        aim: "0.50x",
        ours: Kind::Onceward,
        floor: Kind::WayAlone,
    },
    Target {
        what: "duplicate, from Redis: CPU",
        workload: "duplicate",
        figure: |sample| sample.cpu,
        aim: "0.55x",
        ours: Kind::OncewardThroughRedis,
        floor: Kind::EmptyScript,
    },
    Target {
        what: "duplicate, from Redis: CPU of Redis",
        workload: "duplicate",
        figure: |sample| sample.redis_cpu,
        aim: "6 us",
        ours: Kind::OncewardThroughRedis,
        floor: Kind::EmptyScript,
    },
    Target {
        what: "duplicate, from memory: CPU",
        workload: "duplicate",
        figure: |sample| sample.cpu,
        aim: "0.35x",
        ours: Kind::Onceward,
        floor: Kind::HyperAlone,
    },
];

/// One line for each; nothing where none was measured.
pub(crate) fn markdown(figures: &Figures) -> Option<String> {
    let mut text = String::new();
    for Target { what, workload, figure, aim, ours, floor } in TARGETS {
        let share = |kind, of| {
            let ratio = figures.ratio(workload, (kind, of), figure);
            ratio.map(|ratio| format!("{ratio:.2}x"))
        };
        let cell = |kind| {
            let us = figures.spread(workload, kind, figure)?.median;
            Some(format!("{} ({us:.1} us)", share(kind, Kind::NginxLua)?))
        };
        let of_resty = share(ours, Kind::NginxResty).unwrap_or_else(|| "not measured".into());
        if let (Some(ours), Some(floor)) = (cell(ours), cell(floor)) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {what} | {aim} | {ours} | {of_resty} | {floor} |");
        }
    }
    let (lua, resty) = (Kind::NginxLua.name(), Kind::NginxResty.name());
    let head = format!(
        "| Onceward | aimed at | of {lua} | of {resty} | the floor, of {lua} |\n|---|---|---|---|---|\n"
    );
    (!text.is_empty()).then(|| format!("{head}{text}"))
}
