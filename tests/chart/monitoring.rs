//! Alerts, dashboard and runbook speak of what a sidecar really exposes.

use super::promql::{Selector, selectors};
use super::{file, json};
use crate::support::client::Call;
use crate::support::openmetrics::page;
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::upstream::{Act, Gate, Upstream};
use std::collections::{BTreeMap, BTreeSet};

/// Labels that Prometheus adds to whatever it scrapes of a pod.
const OF_THE_TARGET: [&str; 4] = ["namespace", "pod", "job", "instance"];

const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// One alert of files/alerts.yaml.
struct Alert {
    name: String,
    expr: String,
    severity: String,
    runbook: String,
}

fn alerts() -> Vec<Alert> {
    let text = file("files/alerts.yaml");
    let alerts: Vec<Alert> = text
        .split("- alert: ")
        .skip(1)
        .map(|rule| {
            let field = |name: &str| {
                let mut lines = rule.lines().map(str::trim);
                let line = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
                line.unwrap_or_else(|| panic!("no {name}: {rule}")).to_owned()
            };
            for text in ["summary", "description"] {
                assert!(field(text).len() > 20, "{rule}");
            }
            Alert {
                name: rule.lines().next().unwrap_or_default().to_owned(),
                expr: field("expr"),
                severity: field("severity"),
                runbook: field("runbook_url"),
            }
        })
        .collect();
    assert!(alerts.len() > 5, "{text}");
    alerts
}

/// Every query of the dashboard, by its panel's title.
fn panels() -> Vec<(String, String)> {
    let dashboard = json("files/dashboard.json");
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries: Vec<_> = panels
        .iter()
        .flat_map(|panel| {
            let title = panel["title"].as_str().expect("a title").to_owned();
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty(), "{title}");
            let expr =
                |target: &serde_json::Value| target["expr"].as_str().expect("text").to_owned();
            targets.iter().map(|target| (title.clone(), expr(target))).collect::<Vec<_>>()
        })
        .collect();
    assert!(queries.len() > 10, "{dashboard}");
    queries
}

/// What is exposed: by a sample's name, its labels and their values.
type Exposed = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn exposed(onceward: &Sidecar) -> Exposed {
    let mut exposed = Exposed::new();
    let page = page(onceward).text();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let sample = line.rsplit_once(' ').expect("a value").0;
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let entry = exposed.entry(name.to_owned()).or_default();
        for label in labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once("=\"").expect("a label");
            let value = value.trim_matches('"').to_owned();
            entry.entry(label.to_owned()).or_default().insert(value);
        }
    }
    exposed
}

/// Why a query would find nothing, or not what it seems to.
fn fault(selector: &Selector, exposed: &Exposed) -> Option<String> {
    let Selector { metric, matchers, by, inside, .. } = selector;
    let Some(labels) = exposed.get(metric) else {
        return Some("is not exposed".into());
    };
    for label in by {
        if !labels.contains_key(label) && !OF_THE_TARGET.contains(&label.as_str()) {
            return Some(format!("has no label {label} to group by"));
        }
    }
    for (label, _, text) in matchers.iter().filter(|(_, _, text)| !text.starts_with('$')) {
        for value in text.split('|') {
            if !labels.get(label).is_some_and(|values| values.contains(value)) {
                return Some(format!("has no {label}={value}"));
            }
        }
    }
    let counts = metric.ends_with("_total") || metric.ends_with("_bucket");
    let rises = inside.iter().any(|name| ["rate", "increase"].contains(&name.as_str()));
    let quantile = inside.iter().any(|name| name == "histogram_quantile");
    match () {
        () if counts && !rises => {
            Some("is a counter, of which only the rise says something".into())
        }
        () if rises && !counts => Some("is a gauge, of which a rise means nothing".into()),
        () if metric.ends_with("_bucket") != quantile => Some("and quantiles go together".into()),
        () if quantile && !by.iter().any(|label| label == "le") => Some("is summed over le".into()),
        () => None,
    }
}

/// A sidecar that has refused a payment for want of room: that outcome shows once it happened.
fn overloaded(redis: &Redis) -> (Sidecar, Upstream) {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("{}").behind(&held));
    let onceward = sidecar(redis, &upstream).set("MAX_IN_FLIGHT", "1").start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    assert_eq!(Call::pay("2").send(onceward.address).problem(), "overloaded");
    gate.open();
    assert_eq!(paying.join().expect("an answer").status, 200);
    (onceward, upstream)
}

#[test]
fn every_query_finds_what_it_asks_for() {
    let redis = Redis::start();
    let (onceward, _upstream) = overloaded(&redis);
    let exposed = exposed(&onceward);
    let alerts = alerts().into_iter().map(|alert| (alert.name, alert.expr));
    let mut asked = BTreeSet::new();
    for (place, query) in alerts.chain(panels()) {
        for selector in selectors(&query) {
            if let Some(fault) = fault(&selector, &exposed) {
                panic!("{place}: {} {fault}\n{query}", selector.metric);
            }
            asked.insert(selector.metric);
        }
    }
    // Somebody measured it for somebody to look at it.
    let name = |sample: &str| sample.replace("_sum", "_bucket").replace("_count", "_bucket");
    let unseen: BTreeSet<String> =
        exposed.keys().map(|sample| name(sample)).filter(|name| !asked.contains(name)).collect();
    assert!(
        unseen.is_empty(),
        "nobody looks at {unseen:?}: add a panel to helm/onceward/files/dashboard.json"
    );
}

#[test]
fn what_is_asked_for_is_there_from_the_start() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let exposed = exposed(&onceward);
    for Alert { name, expr, .. } in alerts() {
        for selector in selectors(&expr) {
            // By route, and routes change.
            let later = selector.metric == "onceward_requests_total";
            assert!(later || fault(&selector, &exposed).is_none(), "{name}: {expr}");
        }
    }
}

/// A heading's anchor, as renderers of Markdown make it.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

#[test]
fn every_alert_has_its_page_in_the_runbook() {
    let sections: BTreeMap<String, &str> = RUNBOOK
        .split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').expect("a section"))
        .map(|(heading, text)| (format!("docs/runbook.md#{}", anchor(heading)), text))
        .collect();
    let alerts = alerts();
    for Alert { name, severity, runbook, .. } in &alerts {
        assert!(["critical", "warning"].contains(&severity.as_str()), "{name}");
        let text = sections.get(runbook).unwrap_or_else(|| panic!("{name}: no {runbook}"));
        for part in ["**Means**", "**Look at**", "**Do**"] {
            let table = part != "**Means**" && runbook.ends_with("alarm");
            assert!(table || text.contains(part), "{runbook} lacks {part}");
        }
        // CamelCase and the heading are the same words.
        let words = runbook.rsplit('#').next().unwrap_or_default().replace('-', "");
        assert_eq!(words, name.to_lowercase());
    }
    let linked: BTreeSet<&String> = alerts.iter().map(|alert| &alert.runbook).collect();
    assert_eq!(linked, sections.keys().collect(), "alerts, the runbook's sections");
}

#[test]
fn the_runbook_knows_every_kind_of_alarm_and_names_no_metric_that_is_not_there() {
    let redis = Redis::start();
    let (onceward, _upstream) = overloaded(&redis);
    let exposed = exposed(&onceward);
    for kind in &exposed["onceward_alarms_total"]["kind"] {
        // It has an alert of its own.
        let told = kind == "dead-letter" || RUNBOOK.contains(&format!("| `{kind}` |"));
        assert!(told, "docs/runbook.md says nothing of the alarm {kind}");
    }
    for word in RUNBOOK.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if let Some(name) = word.strip_prefix("onceward_") {
            let is_there = exposed.keys().any(|sample| {
                sample.strip_prefix("onceward_").is_some_and(|sample| {
                    sample == name || sample.strip_suffix("_bucket") == Some(name)
                })
            });
            assert!(is_there, "docs/runbook.md speaks of {word}");
        }
    }
}
