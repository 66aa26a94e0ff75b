//! The rules in force, by name.

use super::kinds::Deed;
use super::metrics::FaultMetrics;
use super::place::{At, Side};
use super::rule::{Firing, Rule};
use super::subject::Subject;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_util::sync::CancellationToken;

/// Rules at once.
pub const MOST_RULES: usize = 64;

/// The rules; asked in the order of their names.
pub struct Board {
    rules: RwLock<BTreeMap<String, Arc<Rule>>>,
    metrics: FaultMetrics,
    stop: CancellationToken,
}

impl Board {
    pub(super) fn new(metrics: FaultMetrics, stop: CancellationToken) -> Board {
        Board { rules: RwLock::default(), metrics, stop }
    }

    /// Puts a rule, in the place of any other of its name; whether there was one, or `None` when
    /// there are as many rules as may be.
    pub fn put(&self, rule: Rule) -> Option<bool> {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let id = rule.id().to_owned();
        if rules.len() >= MOST_RULES && !rules.contains_key(&id) {
            return None;
        }
        tracing::warn!(id, rule = %rule.document(), "a fault rule is in force");
        let before = rules.insert(id, Arc::new(rule));
        self.metrics.rules(rules.len());
        if let Some(before) = &before {
            before.let_go();
        }
        Some(before.is_some())
    }

    /// Takes a rule off, and what it holds goes on; whether there was one.
    pub fn remove(&self, id: &str) -> bool {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let rule = rules.remove(id);
        self.metrics.rules(rules.len());
        if let Some(rule) = &rule {
            tracing::warn!(id, fired = rule.fired(), "a fault rule was removed");
            rule.let_go();
        }
        rule.is_some()
    }

    /// Takes all of them off.
    pub fn clear(&self) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        for rule in std::mem::take(&mut *rules).into_values() {
            rule.let_go();
        }
        self.metrics.rules(0);
        tracing::warn!("all fault rules were removed");
    }

    /// Every rule as it was put, and what came of it.
    pub fn list(&self) -> Vec<Value> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.values().map(|rule| rule.listed()).collect()
    }

    /// What happens at a place now.
    pub(super) fn ask(&self, at: At, side: Side, command: Option<&str>) -> Vec<Firing> {
        let firings: Vec<Firing> = {
            let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
            if rules.is_empty() {
                return Vec::new();
            }
            let subject = Subject::current();
            let asked = rules.values().filter(|rule| rule.is_for(at, side, command));
            asked.filter_map(|rule| rule.fire(subject.as_deref())).collect()
        };
        for firing in &firings {
            if let Some(subject) = Subject::current() {
                subject.touch(firing.id());
            }
            if firing.overtakes() {
                continue;
            }
            let word = firing.deed.kind().word;
            self.metrics.fired(at, word);
            tracing::info!(id = %firing.id(), at = at.word(), r#do = word, "a fault fires");
            match firing.deed {
                Deed::Crash => {
                    // Nothing is told, but that it happened on purpose.
                    crate::lines::flush();
                    std::process::abort()
                }
                Deed::Stop => self.stop.cancel(),
                _ => {}
            }
        }
        firings
    }
}
