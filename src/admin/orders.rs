//! Orders as an operator sees them.

use super::Admin;
use super::authorize::{Asker, Role};
use super::mask;
use crate::answer;
use crate::answer::document;
use crate::answer::problem::{Name, Problem};
use crate::model::order::State;
use crate::model::{address, form};
use crate::payload::Payload;
use crate::serve::Arrived;
use crate::store::listing::Mark;
use crate::store::record::Record;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

/// Orders on one page, unless `limit` says otherwise, and at the most.
const PAGE: u64 = 50;
const LONGEST_PAGE: u64 = 1000;

impl Admin {
    pub(super) async fn list_orders(
        &self,
        asker: &Asker,
        request: &Request<Arrived>,
    ) -> Result<Response<Payload>, Problem> {
        only(request, &["state", "scope", "cursor", "limit"])?;
        let state = match parameter(request, "state")? {
            None => None,
            Some(word) => match State::from_word(&word) {
                Some(state) if state != State::None => Some(state),
                _ => return Err(bad("state: no such state.")),
            },
        };
        let scope = parameter(request, "scope")?;
        let from = match parameter(request, "cursor")? {
            Some(text) => text.parse().map_err(|_| bad("cursor: expected a page's next."))?,
            None => Mark::default(),
        };
        let limit = match number(request, "limit")?.unwrap_or(PAGE) {
            limit @ 1..=LONGEST_PAGE => limit as usize,
            _ => return Err(bad("limit: expected a number from 1 to 1000.")),
        };
        let page = self.store.orders(state, from, limit).await.map_err(|_| away())?;
        let orders: Vec<Value> = page
            .orders
            .into_iter()
            .filter(|order| scope.as_ref().is_none_or(|scope| *scope == order.scope))
            .map(|order| shown(&order, asker.role == Role::Reader))
            .collect();
        let next = page.next.map(|mark| mark.to_string());
        Ok(answer::json(StatusCode::OK, &json!({"orders": orders, "next": next})))
    }

    pub(super) async fn show_order(
        &self,
        route: &str,
        key: &str,
        asker: &Asker,
        request: &Request<Arrived>,
    ) -> Result<Response<Payload>, Problem> {
        only(request, &["scope", "masked"])?;
        let masked = match parameter(request, "masked")?.as_deref() {
            None | Some("false") => asker.role == Role::Reader,
            Some("true") => true,
            Some(_) => return Err(bad("masked: expected true or false.")),
        };
        let absent = || Problem::new(Name::NotFound, "No such order.");
        let (route, key) = address::read(route, key).ok_or_else(absent)?;
        let scope = parameter(request, "scope")?.unwrap_or_default();
        // Not only routes in force: an order may outlive its route's name.
        let order = self.routes.load().order(&route, &scope, key);
        let record = self.store.look(&order).await.map_err(|_| away())?.ok_or_else(absent)?;
        let mut document = shown(&record, masked);
        if matches!(record.state, State::Unknown | State::Cancelling) {
            let due = self.store.due_at(&order).await.map_err(|_| away())?;
            document["next_ask_at"] = document::time(due);
        }
        let served = self.guard.duplicates.of(&order.id);
        document["duplicates_here"] = json!({
            "times": served.map_or(0, |served| served.times),
            "last_at": document::time(served.map(|served| served.last)),
        });
        Ok(answer::json(StatusCode::OK, &document))
    }
}

fn shown(record: &Record, masked: bool) -> Value {
    let mut document = document::for_operator(record);
    if masked {
        mask::document(&mut document);
    }
    document
}

/// Refuses parameters that mean nothing: a misspelt filter would show what was not asked for.
pub(super) fn only(request: &Request<Arrived>, known: &[&str]) -> Result<(), Problem> {
    let query = request.uri().query().unwrap_or_default();
    match form_urlencoded::parse(query.as_bytes()).all(|(name, _)| known.contains(&&*name)) {
        true => Ok(()),
        false => Err(bad(&format!("Expected only {}.", known.join(", ")))),
    }
}

pub(super) fn parameter(request: &Request<Arrived>, name: &str) -> Result<Option<String>, Problem> {
    let query = request.uri().query().unwrap_or_default();
    let value =
        form::field(query.as_bytes(), name).map_err(|error| bad(&format!("{name}: {error}.")))?;
    Ok(value.filter(|value| !value.is_empty()))
}

pub(super) fn number(request: &Request<Arrived>, name: &str) -> Result<Option<u64>, Problem> {
    parameter(request, name)?
        .map(|text| text.parse().map_err(|_| bad(&format!("{name}: expected a whole number."))))
        .transpose()
}

pub(super) fn bad(detail: &str) -> Problem {
    Problem::new(Name::BadRequest, detail.to_owned())
}

pub(super) fn away() -> Problem {
    Problem::new(Name::StoreUnavailable, "Redis gave no usable answer.")
}
