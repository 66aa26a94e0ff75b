//! What needs a person: `/admin/attention/{unknown|cancelling|dead|alarms}`, oldest first.

use super::Admin;
use super::orders::{away, bad, number, only, parameter};
use crate::answer;
use crate::answer::document::time;
use crate::answer::problem::{Name, Problem};
use crate::guard::alarms::Raised;
use crate::payload::Payload;
use crate::serve::Arrived;
use crate::store::attention::{Mark, Waiting, Waits};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// On one page, unless `limit` says otherwise, and at the most.
const PAGE: u64 = 25;
const LONGEST_PAGE: u64 = 100;

impl Admin {
    /// `list` is the last part of the path.
    pub(super) async fn attention(
        &self,
        list: &str,
        request: &Request<Arrived>,
    ) -> Result<Response<Payload>, Problem> {
        only(request, &["after", "limit"])?;
        let list = match list {
            "unknown" => Waiting::Unknown,
            "cancelling" => Waiting::Cancelling,
            "dead" => Waiting::Dead,
            "alarms" => return Ok(self.alarms()),
            _ => return Err(Problem::new(Name::NotFound, "No such list.")),
        };
        let after = match parameter(request, "after")? {
            Some(text) => Some(mark(&text).ok_or_else(|| bad("after: expected a page's next."))?),
            None => None,
        };
        let limit = match number(request, "limit")?.unwrap_or(PAGE) {
            limit @ 1..=LONGEST_PAGE => limit as usize,
            _ => return Err(bad("limit: expected a number from 1 to 100.")),
        };
        let page = self.store.waiting(list, after.as_ref(), limit).await.map_err(|_| away())?;
        let waits: Vec<Value> = page.waits.iter().map(waits).collect();
        let next = page.next.map(|mark| format!("{}.{}", mark.since, mark.id));
        Ok(answer::json(StatusCode::OK, &json!({"orders": waits, "next": next})))
    }

    /// The latest of this replica.
    fn alarms(&self) -> Response<Payload> {
        let alarms: Vec<Value> = self.guard.latest_alarms.all().iter().map(alarm).collect();
        answer::json(StatusCode::OK, &json!({"alarms": alarms, "next": null}))
    }
}

fn mark(text: &str) -> Option<Mark> {
    let (since, id) = text.split_once('.')?;
    Some(Mark { since: since.parse().ok()?, id: id.to_owned() })
}

fn waits(waits: &Waits) -> Value {
    let record = &waits.record;
    let since: SystemTime = UNIX_EPOCH + Duration::from_millis(waits.mark.since);
    let last = record.history.last().map(|line| line.why.as_str());
    json!({
        "route": record.route,
        "key": record.key,
        "scope": record.scope,
        "state": record.state.word(),
        "since": time(Some(since)),
        "why": waits.why.as_deref().or(last),
        "attempts": record.attempts,
        "asks": record.asks,
        "expires_at": time(record.expires),
    })
}

fn alarm(alarm: &Raised) -> Value {
    let mut document = json!({"at": time(Some(alarm.at)), "kind": alarm.kind});
    if let Some(order) = &alarm.order {
        document["route"] = (*order.route).into();
        document["key"] = order.key.as_str().into();
        document["scope"] = (*order.scope).into();
    }
    document
}
