//! Fault rules of a running sidecar, through its admin plane.

use super::client::{Call, Reply};
use super::sidecar::Sidecar;
use serde_json::Value;

impl Sidecar {
    /// Puts a rule and returns the answer.
    pub fn try_fault(&self, id: &str, rule: &Value) -> Reply {
        let put = Call::new("PUT", &format!("/admin/faults/{id}"));
        put.json(&rule.to_string()).send(self.admin)
    }

    /// Puts a rule.
    #[track_caller]
    pub fn fault(&self, id: &str, rule: Value) {
        let reply = self.try_fault(id, &rule);
        assert!(matches!(reply.status, 200 | 201), "{rule}: {}", reply.text());
    }

    /// Takes one off.
    #[track_caller]
    pub fn heal(&self, id: &str) {
        let gone = Call::new("DELETE", &format!("/admin/faults/{id}")).send(self.admin);
        assert_eq!(gone.status, 204, "{}", gone.text());
    }

    /// Takes all off.
    #[track_caller]
    pub fn heal_all(&self) {
        let gone = Call::new("DELETE", "/admin/faults").send(self.admin);
        assert_eq!(gone.status, 204, "{}", gone.text());
    }

    /// How often a rule fired.
    pub fn fired(&self, id: &str) -> u64 {
        let list = Call::get("/admin/faults").send(self.admin).json();
        let rules = list["faults"].as_array().expect("a list");
        let rule = rules.iter().find(|rule| rule["id"] == id).expect("the rule");
        rule["fired"].as_u64().expect("a number")
    }
}
