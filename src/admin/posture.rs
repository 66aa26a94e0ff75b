//! What `onceward doctor` says of this sidecar's Redis, for those who look at the console.

use super::Admin;
use crate::answer;
use crate::answer::document::time;
use crate::doctor::{self, Report};
use crate::payload::Payload;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Redis is examined no more often than this, whoever asks and however often.
const RARELY: Duration = Duration::from_secs(60);

/// The last examination.
pub(super) type Examined = Mutex<Option<(Instant, SystemTime, Report)>>;

impl Admin {
    /// The report, up to [`RARELY`] old. Those who ask meanwhile wait for the same one.
    pub(super) async fn posture(&self) -> Response<Payload> {
        let mut examined = self.examined.lock().await;
        let known = examined.take().filter(|(when, ..)| when.elapsed() < RARELY);
        let (when, at, report) = match known {
            Some(known) => known,
            None => {
                let report = doctor::every_server(&self.config).await;
                (Instant::now(), SystemTime::now(), report)
            }
        };
        let answer = document(at, &report);
        *examined = Some((when, at, report));
        answer::json(StatusCode::OK, &answer)
    }
}

fn document(at: SystemTime, report: &Report) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check,
                "verdict": finding.verdict.word(),
                "found": finding.found,
                "advice": finding.advice,
            })
        })
        .collect();
    json!({"at": time(Some(at)), "findings": findings})
}
