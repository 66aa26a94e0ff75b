//! What would drift apart if nobody looked: the README's tables and the code.

use crate::support::client::Call;
use crate::support::openmetrics::{families, page};
use crate::support::redis::Redis;
use crate::support::sidecar::sidecar;
use crate::support::upstream::Upstream;
use onceward::config::vars::VARS;
use std::collections::{BTreeMap, BTreeSet};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The rows of the tables under a heading, cell by cell, without backticks; header rows, whose
/// first cell has none, are left out.
fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(README).expect("README.md");
    let rows: Vec<Vec<String>> = readme
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = line.trim_matches('|').split(" |");
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "README.md has no table under {heading}");
    rows
}

#[test]
fn the_readme_lists_every_variable_with_its_default() {
    let told: BTreeMap<String, String> =
        table("## Variables").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let real: BTreeMap<String, String> =
        VARS.iter().map(|var| (var.name.to_owned(), var.default.to_owned())).collect();
    for (name, default) in &real {
        assert_eq!(told.get(name), Some(default), "{name} in README.md");
    }
    for name in told.keys() {
        assert!(real.contains_key(name), "README.md tells of {name}, which nobody reads");
    }
}

#[test]
fn the_readme_lists_every_metric() {
    let told: BTreeSet<String> = table("## Metrics")
        .into_iter()
        .map(|row| row[0].split('{').next().unwrap_or_default().to_owned())
        .collect();

    // A metric without a sample is not shown: have one of each.
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    redis.kill();
    Call::pay("2").send(onceward.address);

    let shown: BTreeSet<String> =
        families(&page(&onceward).text()).iter().map(|family| family.full_name()).collect();
    assert_eq!(told, shown, "README.md on the left, /metrics on the right");
}
