//! The charts, their alerts and the runbook, as far as the code and they could drift apart. What Helm makes of them is tested by
//! `make chart-test`.

mod monitoring;
mod promql;
mod variables;

/// The library chart's folder.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/helm/onceward");

/// A file of the library chart.
fn file(path: &str) -> String {
    let path = format!("{CHART}/{path}");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A JSON file of the library chart.
fn json(path: &str) -> serde_json::Value {
    serde_json::from_str(&file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
