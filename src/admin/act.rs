//! What an operator does about an order: cancel, resolve, release. Each stands in its history.

use super::Admin;
use super::authorize::Asker;
use super::orders::{away, bad, only, parameter};
use crate::answer;
use crate::answer::document;
use crate::answer::problem::{Name, Problem};
use crate::model::address;
use crate::model::identity::Order;
use crate::model::order::State;
use crate::payload::Payload;
use crate::serve::Arrived;
use crate::store::cancel::{Cancel, CancelAsk};
use crate::store::resolve::{Permission, Release, Resolution, Resolve, Word};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use std::time::Duration;

/// The largest request, and the longest reason in characters.
const MAX_BODY: usize = 16 * 1024;
const LONGEST_WHY: usize = 200;

/// How long an operator may take to send it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an order of a route that is no longer configured is kept once it ended.
const KEEP: Duration = Duration::from_secs(24 * 3600);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    state: Option<String>,
    why: Option<String>,
}

impl Admin {
    /// `verb` is the last part of the path.
    pub(super) async fn act(
        &self,
        (route, key, verb): (&str, &str, &str),
        asker: &Asker,
        request: Request<Arrived>,
    ) -> Result<Response<Payload>, Problem> {
        only(&request, &["scope"])?;
        let absent = || Problem::new(Name::NotFound, "No such order.");
        let (route, key) = address::read(route, key).ok_or_else(absent)?;
        let scope = parameter(&request, "scope")?.unwrap_or_default();
        let order = self.routes.load().order(&route, &scope, key);
        let wish = read(request).await?;
        let why = why(&wish);
        // Its holder may have died without anybody having looked since.
        let keep = self.routes.load().unknown_ttl();
        self.store.lapse(order.partition, &order.id, None, keep).await.map_err(|_| away())?;
        let by = asker.by();
        let to = wish.state.as_deref().and_then(State::from_word);
        let told = to.map(State::word);
        tracing::warn!(order = %order.id, verb, to = told, why, %asker, "an operator acts on an order");
        let word = (by.as_str(), why.as_str());
        match verb {
            "cancel" => self.cancel(&order, word).await?,
            "resolve" => self.resolve(&order, to, word).await?,
            _ => self.release(&order, word).await?,
        }
        let record = self.store.look(&order).await.map_err(|_| away())?.ok_or_else(absent)?;
        let status = match record.state {
            State::Cancelling => StatusCode::ACCEPTED,
            _ => StatusCode::OK,
        };
        Ok(answer::json(status, &document::for_operator(&record)))
    }

    async fn cancel(&self, order: &Order, (by, why): (&str, &str)) -> Result<(), Problem> {
        let routes = self.routes.load();
        // A tombstone on a route that does not exist would refuse nothing.
        let Some(route) = routes.of_orders(&order.route) else {
            return Err(Problem::new(Name::NotFound, "No such route."));
        };
        let ask = CancelAsk {
            order,
            callers: None,
            confirm: route.cancel.is_some(),
            keep: route.tuning.cancel_ttl,
            by: Some(by),
            why,
        };
        match self.store.cancel(&ask).await.map_err(|_| away())? {
            Cancel::Cancelled => Ok(()),
            Cancel::Cancelling => {
                self.hints.tell(order.partition, &order.id, Duration::ZERO);
                Ok(())
            }
            Cancel::Final(state) => Err(final_in(state)),
            Cancel::Refused(State::InFlight) => Err(illegal(
                State::InFlight,
                "its attempt still runs, and its route has no cancel call; wait for its end",
            )),
            Cancel::Refused(state) => Err(illegal(
                state,
                "its route has no cancel call; cancel it at the payment service, then resolve it as \
                 failed",
            )),
            Cancel::Absent => Err(Problem::new(Name::NotFound, "No such order.")),
        }
    }

    async fn resolve(
        &self,
        order: &Order,
        to: Option<State>,
        (by, why): (&str, &str),
    ) -> Result<(), Problem> {
        let to = to.filter(|to| to.is_final());
        let to = to.ok_or_else(|| bad("state: expected succeeded, failed or cancelled."))?;
        let routes = self.routes.load();
        let tuning = routes.named(&order.route).map(|route| &route.tuning);
        let keep = tuning.map_or(KEEP, |tuning| match to {
            State::Cancelled => tuning.cancel_ttl,
            _ => tuning.record_ttl,
        });
        let turn = self.turns.next();
        let word = Word::IfTold;
        let resolution =
            Resolution { order, turn: &turn, fence: None, to, keep, word, by: Some(by), why };
        match self.store.resolve(&resolution).await.map_err(|_| away())? {
            Resolve::Resolved => {
                self.metrics.resolution("operator");
                Ok(())
            }
            Resolve::Astray(stands) => {
                self.guard.astray(order, &stands);
                self.metrics.resolution("operator");
                Ok(())
            }
            Resolve::Held(_) => Err(running()),
            // Resolving it as it ended is no contradiction: the answer to the first try was lost.
            Resolve::Refused(state) if state == to => Ok(()),
            Resolve::Refused(state) if state.is_final() => Err(final_in(state)),
            Resolve::Refused(State::Unknown) => Err(illegal(
                State::Unknown,
                "only what is being cancelled becomes cancelled; once it is cancelled at the \
                 payment service, resolve it as failed",
            )),
            Resolve::Refused(state) => {
                Err(illegal(state, "that does not lead to what was asked for"))
            }
            // A query's and a cancel call's word get these answers.
            Resolve::Kept | Resolve::Paid => {
                Err(illegal(State::Cancelling, "that does not lead to what was asked for"))
            }
            Resolve::Fenced(_) | Resolve::Gone => {
                Err(Problem::new(Name::NotFound, "No such order."))
            }
        }
    }

    async fn release(&self, order: &Order, (by, why): (&str, &str)) -> Result<(), Problem> {
        let routes = self.routes.load();
        let keep = routes.named(&order.route).map_or(KEEP, |route| route.tuning.record_ttl);
        let turn = self.turns.next();
        let (letters, by) = (true, Some(by));
        let permission = Permission { order, turn: &turn, fence: None, keep, letters, by, why };
        match self.guard.permit(&self.store, &permission).await.map_err(|_| away())? {
            // Or it was permitted, and counted, before.
            Release::Released | Release::Again => Ok(()),
            Release::Refused(State::InFlight) => Err(running()),
            Release::Refused(state) if state.is_final() => Err(final_in(state)),
            Release::Refused(state) => Err(illegal(state, "only what is unknown is released")),
            Release::Fenced(_) | Release::Dead | Release::Gone => {
                Err(Problem::new(Name::NotFound, "No such order."))
            }
        }
    }
}

async fn read(request: Request<Arrived>) -> Result<Wish, Problem> {
    let body = read_small(request).await?;
    if body.is_empty() {
        return Ok(Wish::default());
    }
    serde_json::from_slice(&body).map_err(|_| bad("Expected a JSON object with state and why."))
}

/// What an operator sent, as much of it as any wish may take.
pub(super) async fn read_small(request: Request<Arrived>) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body().body, MAX_BODY).collect();
    let unread = || Problem::new(Name::BadRequest, "The body is too large or too slow.").closing();
    let body = tokio::time::timeout(PATIENCE, body).await.map_err(|_| unread())?;
    Ok(body.map_err(|_| unread())?.to_bytes())
}

/// The reason as it stands in a history: one line, not too long.
fn why(wish: &Wish) -> String {
    let why = wish.why.as_deref().unwrap_or_default().trim();
    if why.is_empty() {
        return "an operator said so".into();
    }
    let line = why.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(LONGEST_WHY).collect()
}

fn running() -> Problem {
    let detail = "Its attempt still runs. Wait for its end.";
    Problem::new(Name::InProgress, detail).in_state(State::InFlight)
}

fn final_in(state: State) -> Problem {
    Problem::new(Name::AlreadyFinal, format!("The order is {state}; final states never change."))
        .in_state(state)
}

fn illegal(state: State, why: &str) -> Problem {
    Problem::new(Name::IllegalTransition, format!("The order is {state}: {why}.")).in_state(state)
}
