//! Whether payments can be taken, and why not; and how a sidecar leaves.

use super::Admin;
use super::authorize::Asker;
use crate::answer;
use crate::payload::Payload;
use crate::route::RedisDown;
use hyper::{Response, StatusCode};
use serde_json::json;

impl Admin {
    /// Not ready from now on. Nothing is refused yet: who was sent here before the word got round
    /// is to be served.
    pub(super) fn leave(&self, asker: &Asker) -> Response<Payload> {
        tracing::info!(%asker, "leaving: not ready any more");
        self.leaving.cancel();
        answer::json(StatusCode::OK, &json!({"leaving": true}))
    }

    pub(super) async fn ready(&self) -> Response<Payload> {
        let (mut reasons, mut impaired) = (Vec::new(), Vec::new());
        if self.draining.is_cancelled() {
            reasons.push("draining".to_owned());
        } else if self.leaving.is_cancelled() {
            reasons.push("leaving".to_owned());
        }
        // Where every route would let payments through without Redis, its absence is no reason.
        let routes = self.routes.load();
        if routes.0.iter().any(|route| route.tuning.redis_down == RedisDown::Reject) {
            match self.store.ping().await {
                // Part of a Cluster is away: a replica that said no would take the rest away too.
                Ok(away) => impaired = away,
                Err(away) => reasons.extend(away),
            }
        }
        let ready = reasons.is_empty();
        let status = match ready {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        reasons.extend(impaired);
        let mut document = json!({"ready": ready, "reasons": reasons});
        if let Some(board) = self.faults.board() {
            let rules = board.list().len();
            document["faults"] = format!("fault simulation is on, {rules} rules").into();
        }
        answer::json(status, &document)
    }
}
