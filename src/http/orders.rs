//! `GET <prefix>/orders/{route}/{key}`: where an order stands, for the caller that made it.

use super::identify::{callers, scope};
use super::told::Outcome;
use super::{Answered, Arrived, Plane};
use crate::answer;
use crate::answer::document;
use crate::answer::problem::{Name, Problem, STATE};
use crate::fault::Subject;
use crate::model::address;
use crate::model::identity::Order;
use crate::store::record::Record;
use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use std::time::Duration;
use tokio::time::Instant;

/// The longest a caller may have us wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often a waiting caller's order is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Plane {
    pub(super) async fn show_order(
        &self,
        route: &str,
        key: &str,
        request: Request<Arrived>,
    ) -> Result<Answered, Problem> {
        // Whether it is unknown, expired or somebody else's: one answer.
        let absent = || Problem::new(Name::NotFound, "No such order of yours.");
        let (route, key) = address::read(route, key).ok_or_else(absent)?;
        let route = self.routes.load().of_orders(&route).cloned().ok_or_else(absent)?;
        Subject::is_about(&route.name, key.as_str());
        let headers = request.headers();
        let order = route.order(&scope(&route, headers)?, key);
        let callers = callers(&self.secrets, &route, headers);
        let until = Instant::now() + wish_to_wait(headers);
        let record = loop {
            let record = self.look(&order).await?.ok_or_else(absent)?;
            if !callers.split(',').any(|caller| caller == record.caller) {
                return Err(absent());
            }
            // A draining sidecar answers what it knows rather than make its end wait.
            let over = self.stop.is_cancelled() || Instant::now() >= until;
            if record.state.is_final() || over {
                break record;
            }
            let look_again = tokio::time::sleep_until(until.min(Instant::now() + LOOK_AGAIN));
            self.stop.run_until_cancelled(look_again).await;
        };
        let mut response = answer::json(StatusCode::OK, &document::of(&record));
        let headers = response.headers_mut();
        headers.insert(STATE, HeaderValue::from_static(record.state.word()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(Answered::on(&route, Outcome::Order, response))
    }

    async fn look(&self, order: &Order) -> Result<Option<Record>, Problem> {
        self.guard.store.look(order).await.map_err(|_| {
            Problem::new(
                Name::StoreUnavailable,
                "Where the order stands cannot be told. Ask again.",
            )
        })
    }
}

/// `Prefer: wait=N` (RFC 7240), in seconds.
fn wish_to_wait(headers: &HeaderMap) -> Duration {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split([',', ';']))
        .filter_map(|wish| wish.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .filter_map(|(_, seconds)| whole(seconds.trim().trim_matches('"')))
        .map(Duration::from_secs)
        .next()
        .unwrap_or_default()
        .min(LONGEST_WAIT)
}

/// A whole number; one that is larger than can be counted is as large as can be.
fn whole(digits: &str) -> Option<u64> {
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_wait_is_granted_up_to_the_longest_wait() {
        for (line, seconds) in [
            ("wait=2", 2),
            ("respond-async, wait=\"2\"", 2),
            ("WAIT = 2; x", 2),
            ("wait=99999999999999999999", LONGEST_WAIT.as_secs()),
            ("wait=-1", 0),
            ("wait=", 0),
            ("waiting=9", 0),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", line.parse().unwrap());
            assert_eq!(wish_to_wait(&headers).as_secs(), seconds, "{line}");
        }
    }
}
