//! Who acts, and what each of them does by itself.

use super::sidecar::{Counts, Rooms, Sidecar};
use bytes::Bytes;
use hyper::{Request, Response};
use onceward::config::Config;
use onceward::guard::callback::{Heard, Notice, Settles};
use onceward::guard::{Answer, Guard, Payment};
use onceward::model::event::Event;
use onceward::model::field::Field;
use onceward::model::identity::Order;
use onceward::model::key::Key;
use onceward::model::order::State;
use onceward::model::response::StoredResponse;
use onceward::payload::Payload;
use onceward::route::{Ack, Route};
use onceward::store::cancel::CancelAsk;
use onceward::store::orders::Lapse;
use onceward::trace::Span;
use onceward::worker::resolve::Resolver;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Pays: the same order, the same request, the same caller.
    Payer,
    /// Pays, and looks for a tombstone by itself first: a mistake of the guard's.
    LookingPayer,
    /// Cancels the order as its caller, and asks again when it hears nothing.
    Canceller,
    /// Finds the order without a lease, and has one turn at asking or cancelling upstream.
    Resolver,
    /// The channel's notification that the order was paid; comes once it was.
    Callback,
}

/// What an actor was told in the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// How it came: first, replay, document, refused, ...
    pub how: String,
    pub state: Option<State>,
    /// Status and body, where there is a response.
    pub response: Option<(u16, String)>,
}

/// An actor on its sidecar.
pub struct Actor {
    pub part: Part,
    pub name: String,
    pub sidecar: Sidecar,
    pub sign: String,
    guard: Arc<Guard>,
    told: Arc<OnceLock<Told>>,
    /// What it heard so far, without times: all that its next wish depends on.
    pub heard: Vec<String>,
    /// Fences under which it was told that a claim is granted.
    pub granted: Vec<u64>,
    /// Died: never to do anything again.
    pub dead: bool,
    /// Nothing stands at its gate and nothing will.
    pub over: bool,
    /// It was left without an answer.
    pub cut: bool,
    pub steps: usize,
}

/// The configuration of every sidecar: no wait, no time that could run out.
pub fn config(retry: bool) -> Config {
    let routes = json!([{
        "name": "pay", "path": "/pay", "methods": ["POST"], "duplicate_wait": "0s",
        "lock_ttl": "240h", "record_ttl": "480h", "unknown_ttl": "480h", "cancel_ttl": "480h",
        "upstream_timeout": "24h", "query_interval": "24h", "cancel_interval": "24h",
        "settle_delay": "0s", "resolve_deadline": "240h",
        "on_unknown": if retry { "retry" } else { "hold" },
        "query": {"method": "GET", "path": "/result?id={key}", "outcome": [
            {"status": [404], "means": "absent"},
            {"status": [200], "at": "json:/status", "in": ["paid"], "means": "succeeded"},
            {"status": [200], "at": "json:/status", "in": ["paying"], "means": "unknown"}
        ]},
        "cancel": {"method": "POST", "path": "/cancel", "json": {"id": "{key}"}, "outcome": [
            {"status": [200], "means": "cancelled"},
            {"status": [404], "means": "absent"},
            {"status": [409], "means": "succeeded"}
        ]},
    }, {
        "name": "notify", "kind": "callback", "path": "/notify", "methods": ["POST"],
        "upstream_timeout": "24h", "callback_ttl": "480h", "key": ["json:/id"],
        "event": ["json:/event"], "settles": "pay",
    }]);
    let variables = [("ONCEWARD_ROUTES".to_owned(), routes.to_string())];
    let loaded = Config::load(&HashMap::from(variables));
    loaded.unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn key() -> Key {
    Key::from_text("2024-0001").expect("a key")
}

/// The one order there is.
pub fn order() -> Order {
    Order::new("pay".into(), "", key())
}

/// The one event there is.
pub fn event() -> Event {
    Event::new(Order::new("notify".into(), "", key()), &[Field::Text("paid".to_owned())])
}

fn payment(route: &Arc<Route>, order: Order) -> Payment {
    let (head, ()) = Request::post(format!("/{}", route.name))
        .header("host", "pay.test")
        .body(())
        .expect("a request")
        .into_parts();
    Payment {
        order,
        route: route.clone(),
        fingerprints: "asked".into(),
        callers: "caller".into(),
        token: None,
        grant_from: route.grant_from(),
        head,
        body: Bytes::from_static(b"{}").into(),
        place: None,
        span: Span::default(),
    }
}

impl Actor {
    /// Puts an actor on a sidecar and lets it come to its gate.
    pub fn start(
        part: Part,
        name: String,
        sidecar: Sidecar,
        (config, counts): (&Config, &Counts),
    ) -> Actor {
        let Rooms { guard, resolver, sign } = sidecar.rooms(config, counts);
        let told: Arc<OnceLock<Told>> = Arc::default();
        let (telling, acting) = (told.clone(), guard.clone());
        let (pay, notify) = (named(config, "pay"), named(config, "notify"));
        sidecar.runtime.spawn(async move {
            let end = match part {
                Part::Payer => pay_once(&acting, &pay).await,
                Part::LookingPayer => look_and_pay(&acting, &pay).await,
                Part::Canceller => cancel(&acting, &pay).await,
                Part::Resolver => resolve(&acting, resolver).await,
                Part::Callback => notice(&acting, &notify, pay).await,
            };
            telling.set(end).expect("it ends once");
        });
        let (heard, granted) = (Vec::new(), Vec::new());
        let (dead, over, cut, steps) = (false, false, false, 0);
        let mut actor = Actor {
            part,
            name,
            sidecar,
            sign,
            guard,
            told,
            heard,
            granted,
            dead,
            over,
            cut,
            steps,
        };
        actor.proceed();
        actor
    }

    /// Lets it go on to its next wish, or its end.
    pub fn proceed(&mut self) {
        let over = || self.told.get().is_some() && self.guard.running.is_empty();
        self.over = !self.sidecar.proceed(over);
    }

    /// Whether all it does is to look, now and then, what became of another copy.
    pub fn waits(&self) -> bool {
        self.heard.last().is_some_and(|heard| heard == "accept_callback busy")
    }

    pub fn told(&self) -> Option<&Told> {
        self.told.get()
    }
}

fn named(config: &Config, name: &str) -> Arc<Route> {
    config.routes.named(name).expect("a route").clone()
}

async fn pay_once(guard: &Arc<Guard>, route: &Arc<Route>) -> Told {
    match guard.handle(Arc::new(payment(route, order()))).await {
        Answer::First(response, state) => with("first", Some(state), response),
        Answer::Bypassed(response) => with("bypassed", None, response),
        Answer::Replay(stored, state) => repeated(Some(state), &stored),
        Answer::Document(record) => plain("document", Some(record.state)),
        Answer::Accepted(record) => plain("accepted", Some(record.state)),
        Answer::Refused(refusal, state) => plain(&format!("refused {refusal:?}"), Some(state)),
        Answer::Illegal(..) => panic!("the route has no lifecycle"),
    }
}

async fn look_and_pay(guard: &Arc<Guard>, route: &Arc<Route>) -> Told {
    match guard.store.look(&order()).await {
        Ok(Some(record)) if record.state == State::Cancelled => {
            plain("refused OrderCancelled", Some(State::Cancelled))
        }
        _ => pay_once(guard, route).await,
    }
}

async fn cancel(guard: &Arc<Guard>, route: &Arc<Route>) -> Told {
    let order = order();
    let ask = CancelAsk {
        order: &order,
        callers: Some("caller"),
        confirm: true,
        keep: route.tuning.cancel_ttl,
        by: None,
        why: "its caller asked",
    };
    let mut asked = guard.store.cancel(&ask).await;
    if asked.is_err() {
        asked = guard.store.cancel(&ask).await;
    }
    plain(&format!("cancel {asked:?}"), None)
}

async fn resolve(guard: &Arc<Guard>, resolver: Resolver) -> Told {
    let order = order();
    let (partition, keep) = (order.partition, std::time::Duration::from_secs(3600));
    match guard.store.lapse(partition, &order.id, None, keep).await {
        Ok(Lapse::Lapsed(_) | Lapse::Moved(State::Unknown | State::Cancelling)) => {
            let looked = resolver.look(partition, &order.id).await;
            plain(&format!("resolver {}", looked.is_ok()), None)
        }
        other => plain(&format!("resolver {}", other.is_ok()), None),
    }
}

async fn notice(guard: &Arc<Guard>, route: &Arc<Route>, pay: Arc<Route>) -> Told {
    let event = event();
    let notice = Notice {
        payment: payment(route, event.order.clone()),
        event,
        unchanged: "unchanged".into(),
        ack: Ack::default(),
        settles: Some(Settles { route: pay, to: State::Succeeded }),
    };
    match guard.notify(notice).await {
        Heard::First(response) => with("callback first", None, response),
        Heard::Repeat(stored) => repeated(None, &stored),
        Heard::Unacknowledged(response) => with("callback unacknowledged", None, response),
        Heard::Refused(refusal) => plain(&format!("callback refused {refusal:?}"), None),
    }
}

fn plain(how: &str, state: Option<State>) -> Told {
    Told { how: how.to_owned(), state, response: None }
}

fn with(how: &str, state: Option<State>, response: Response<Payload>) -> Told {
    let status = response.status().as_u16();
    let Payload::Full(body) = response.into_body() else { panic!("an answer in memory") };
    let body = String::from_utf8_lossy(&body).into_owned();
    Told { how: how.to_owned(), state, response: Some((status, body)) }
}

fn repeated(state: Option<State>, stored: &StoredResponse) -> Told {
    let body = String::from_utf8_lossy(&stored.body).into_owned();
    Told { how: "replay".into(), state, response: Some((stored.status.as_u16(), body)) }
}
