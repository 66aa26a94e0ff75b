//! What `/metrics` says, read strictly.

use super::client::{Call, Reply};
use super::sidecar::Sidecar;

/// One metric: its description, and how many samples it has.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub unit: Option<String>,
    pub help: String,
    pub samples: usize,
}

impl Family {
    /// The name one writes in a query.
    pub fn full_name(&self) -> String {
        match self.kind.as_str() {
            "counter" => format!("{}_total", self.name),
            _ => self.name.clone(),
        }
    }
}

/// The page as it is served.
pub fn page(onceward: &Sidecar) -> Reply {
    Call::get("/metrics").send(onceward.admin)
}

/// Every metric on a page; fails on a line that belongs to none of them, and without `# EOF`.
pub fn families(page: &str) -> Vec<Family> {
    let lines = page.strip_suffix("# EOF\n").expect("the page ends so");
    let mut families: Vec<Family> = Vec::new();
    for line in lines.lines() {
        let Some(rest) = line.strip_prefix("# ") else {
            let family = families.last_mut().expect("a sample after its HELP");
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            assert!(name.starts_with(&family.name), "{line}");
            family.samples += 1;
            continue;
        };
        let mut words = rest.splitn(3, ' ');
        let mut word = || words.next().expect("three words").to_owned();
        let (what, name, text) = (word(), word(), word());
        if what == "HELP" {
            families.push(Family { name, kind: String::new(), unit: None, help: text, samples: 0 });
            continue;
        }
        let family = families.last_mut().expect("HELP comes first");
        assert_eq!(family.name, name, "{line}");
        match what.as_str() {
            "TYPE" => family.kind = text,
            "UNIT" => family.unit = Some(text),
            _ => panic!("{line}"),
        }
    }
    families
}
