//! What would drift apart if nobody looked: the README's tables and the code.

use crate::support::client::Call;
use crate::support::openmetrics::{families, page};
use crate::support::redis::Redis;
use crate::support::sidecar::sidecar;
use crate::support::upstream::Upstream;
use onceward::config::vars::VARS;
use onceward::http::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const ARCHITECTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md");
const PROMISES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/PROMISES.md");
const DOCKERFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile");
const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/profile");
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// What is guaranteed, by the names used in code, tests and documents.
const GUARANTEES: [&str; 13] = [
    "one-effect",
    "intent-first",
    "no-silent-rerun",
    "same-answer",
    "bound-request",
    "one-token-one-order",
    "tombstone-holds",
    "callback-once",
    "fenced-writes",
    "fail-closed",
    "nothing-lost",
    "resolved-in-time",
    "redacted",
];

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
    let onceward = sidecar(&redis, &upstream).set("FAULTS", "on").start();
    onceward.fault("one", serde_json::json!({"at": "response", "do": {"delay": "1ms"}}));
    Call::pay("1").send(onceward.address);
    redis.kill();
    Call::pay("2").send(onceward.address);

    let shown: BTreeSet<String> =
        families(&page(&onceward).text()).iter().map(|family| family.full_name()).collect();
    assert_eq!(told, shown, "README.md on the left, /metrics on the right");
}

#[test]
fn the_readme_and_the_help_list_every_outcome_of_a_request() {
    let words: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.word()).collect();
    let listed = format!(": {}, or a problem's name", words.join(", "));
    let rows = table("## Metrics");
    let row = rows.iter().find(|row| row[0] == "onceward_requests_total").expect("its row");
    assert!(row[3].ends_with(&listed), "README.md: {}", row[3]);

    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    let text = page(&onceward).text();
    let families = families(&text);
    let requests =
        families.iter().find(|family| family.full_name() == row[0]).expect("it is shown");
    assert!(requests.help.trim_end_matches('.').ends_with(&listed), "{}", requests.help);
}

#[test]
fn every_guarantee_names_tests_that_exist() {
    let architecture = std::fs::read_to_string(ARCHITECTURE).expect("ARCHITECTURE.md");
    let told: Vec<(&str, Vec<&str>)> = architecture
        .lines()
        .skip_while(|line| *line != "## Guarantees")
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("- **")?.split_once("**: "))
        .map(|(name, tests)| (name, tests.split('`').skip(1).step_by(2).collect()))
        .collect();
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, GUARANTEES);
    all_exist(told);
}

#[test]
fn every_promise_names_tests_that_exist() {
    let promises = std::fs::read_to_string(PROMISES).expect("PROMISES.md");
    let told: Vec<(&str, Vec<&str>)> = promises
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .map(|line| {
            let (promise, tests) = line.rsplit_once(": `").unwrap_or((line, ""));
            (promise, tests.split('`').step_by(2).filter(|name| !name.is_empty()).collect())
        })
        .collect();
    for part in ["States", "What a duplicate gets", "What upstream's answer means", "Tokens"]
        .iter()
        .chain(&["Buffer", "Unknown outcomes", "Cancel", "Callbacks", "Bad input"])
    {
        assert!(promises.contains(&format!("\n## {part}\n\n- ")), "nothing under {part}");
    }
    all_exist(told);
}

/// Another compiler's profile would not be used, and the image be slower than what was measured.
#[test]
fn the_image_is_built_by_the_compiler_that_wrote_the_profile() {
    let dockerfile = std::fs::read_to_string(DOCKERFILE).expect("Dockerfile");
    let named = dockerfile.lines().find_map(|line| line.strip_prefix("ARG RUST=rust:"));
    let (named, _) = named.and_then(|named| named.split_once('-')).expect("a Rust by its version");
    let files =
        std::fs::read_dir(PROFILE).expect("profile").map(|file| file.expect("a file").path());
    let mut found = 0;
    for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "rustc")) {
        let compiler = std::fs::read_to_string(&file).expect("what rustc said");
        let release = compiler.lines().find_map(|line| line.strip_prefix("release: "));
        assert_eq!(release, Some(named), "{} and the Dockerfile", file.display());
        assert!(file.with_extension("profdata").exists(), "{} has no counts", file.display());
        found += 1;
    }
    assert!(found > 0, "there is no profile");
}

/// Everything that is told of names a test, and every test is there.
fn all_exist(told: Vec<(&str, Vec<&str>)>) {
    let mut real = BTreeSet::new();
    tests_under(Path::new(TESTS), &mut real);
    for (what, tests) in told {
        assert!(!tests.is_empty(), "no test is named for {what}");
        for test in tests {
            assert!(real.contains(test), "{what}: no test is called {test}");
        }
    }
}

/// The names of all tests in a folder: of every function right below a test's attribute.
fn tests_under(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests_under(&path, names);
            continue;
        }
        if path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a source file");
        let mut is_test = false;
        for line in source.lines() {
            let line = line.trim_start().trim_start_matches("async ");
            if let Some(named) = line.strip_prefix("fn ") {
                if std::mem::take(&mut is_test) {
                    names.insert(named.split(['(', '<']).next().unwrap_or_default().to_owned());
                }
            } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            }
        }
    }
}
