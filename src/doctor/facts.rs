//! What the server says about itself: `INFO`, and the settings that `CONFIG GET` gives away.

use std::collections::HashMap;

use super::link::Link;

/// The settings asked for. One at a time, since several in one call need Redis 7.0.
const SETTINGS: [&str; 5] =
    ["maxmemory-policy", "maxmemory", "appendfsync", "save", "min-replicas-to-write"];

/// A fact that is missing was not told; a check then says so instead of guessing.
#[derive(Debug, Default)]
pub(super) struct Facts {
    info: HashMap<String, String>,
    settings: HashMap<String, String>,
}

impl Facts {
    pub(super) async fn read(link: &Link) -> Self {
        let mut facts = link.ask::<String>(&["INFO"]).await.map(parse).unwrap_or_default();
        for name in SETTINGS {
            // A managed Redis refuses CONFIG: then it refuses every one.
            let Ok(told) = link.ask::<HashMap<String, String>>(&["CONFIG", "GET", name]).await
            else {
                break;
            };
            facts.settings.extend(told);
        }
        facts
    }

    /// A field of `INFO`.
    pub(super) fn info(&self, field: &str) -> Option<&str> {
        self.info.get(field).map(String::as_str)
    }

    /// A numeric field of `INFO`.
    pub(super) fn number(&self, field: &str) -> Option<u64> {
        self.info(field)?.parse().ok()
    }

    /// A setting, where `CONFIG GET` was allowed.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// Replicas that have caught up with the master and follow it.
    pub(super) fn online_replicas(&self) -> u64 {
        let online = |(field, value): &(&String, &String)| {
            let index = field.strip_prefix("slave").unwrap_or_default();
            index.parse::<u32>().is_ok() && value.split(',').any(|part| part == "state=online")
        };
        self.info.iter().filter(online).count() as u64
    }
}

fn parse(info: String) -> Facts {
    let fields = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    let info = fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect();
    Facts { info, settings: HashMap::new() }
}

#[cfg(test)]
impl Facts {
    /// Facts as a server would tell them: the text of `INFO`, and pairs of settings.
    pub(super) fn told(info: &str, settings: &[(&str, &str)]) -> Self {
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { settings: settings.collect(), ..parse(info.to_owned()) }
    }
}
