//! The kinds of orders that are weighed, each written by the store as a sidecar has it write them.

use crate::BenchError;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use onceward::config::Config;
use onceward::model::event::Event;
use onceward::model::field::Field;
use onceward::model::identity::{AttemptIds, Order};
use onceward::model::key::Key;
use onceward::model::order::State;
use onceward::model::response::{Kept, StoredResponse};
use onceward::model::token::Token;
use onceward::model::trace::TraceContext;
use onceward::route::Route;
use onceward::store::callbacks::Arrival;
use onceward::store::cancel::CancelAsk;
use onceward::store::history::History;
use onceward::store::link::Link;
use onceward::store::orders::{Claim, ClaimAsk, Settlement};
use onceward::store::queue::EnqueueAsk;
use onceward::store::{self, Store, StoreMetrics};
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// What becomes of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Succeeded,
    Traced,
    Callback,
    Cancelled,
    Unknown,
    InFlight,
    Queued,
    Token,
}

/// A kind of order.
pub(crate) struct Kind {
    /// In a line.
    pub(crate) what: &'static str,
    /// The variable that says for how long it is kept; nothing where something else ends it first.
    pub(crate) ttl: Option<&'static str>,
    /// In a word, where so many of them may gather; else what ends it.
    pub(crate) name: Result<&'static str, &'static str>,
    fate: Fate,
}

/// Every kind.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        what: "succeeded or failed, a response of 200 bytes",
        ttl: Some("RECORD_TTL"),
        name: Ok("orders"),
        fate: Fate::Succeeded,
    },
    Kind {
        what: "the same, in a trace that is kept",
        ttl: Some("RECORD_TTL"),
        name: Ok("orders in traces"),
        fate: Fate::Traced,
    },
    Kind {
        what: "a callback, acknowledged by `success`",
        ttl: Some("CALLBACK_TTL"),
        name: Ok("callbacks"),
        fate: Fate::Callback,
    },
    Kind {
        what: "cancelled before it came: a tombstone",
        ttl: Some("CANCEL_TTL"),
        name: Ok("tombstones"),
        fate: Fate::Cancelled,
    },
    Kind {
        what: "unknown, no response, never resolved",
        ttl: Some("UNKNOWN_TTL"),
        name: Ok("unknown"),
        fate: Fate::Unknown,
    },
    Kind { what: "in flight", ttl: None, name: Err("its answer"), fate: Fate::InFlight },
    Kind {
        what: "queued, a request of 200 bytes",
        ttl: None,
        name: Err("a worker sends it"),
        fate: Fate::Queued,
    },
    Kind {
        what: "a token that nobody used",
        ttl: Some("TOKEN_TTL"),
        name: Err(""),
        fate: Fate::Token,
    },
];

/// Commands under way at once.
const AT_ONCE: usize = 64;

/// Writes orders.
pub(crate) struct Writer {
    runtime: Runtime,
    store: Store,
    route: Arc<Route>,
    attempts: AttemptIds,
    digest: String,
}

impl Writer {
    /// With the binary's defaults, and a secret: bodies are sealed.
    pub(crate) fn on(redis: &str) -> Result<Writer, BenchError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let secret = "a secret that is as long as most";
        let set = [("ONCEWARD_REDIS_URL", redis), ("ONCEWARD_SECRET", secret)];
        let set: HashMap<_, _> =
            set.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let config = Config::load(&set).map_err(wrong)?;
        let digest = config.secrets.digests("request", &[b"anything"]).map(|it| it.to_string());
        let digest = digest.collect();
        let route = config.routes.0[0].clone();
        let of_store = store::Config {
            namespace: config.namespace.clone(),
            wait_replicas: 0,
            wait_timeout: config.redis_wait_timeout,
            // As a Deployment names its pods.
            by: "payments-7d4b9c6f5d-x2k8p/1".into(),
            history: Arc::new(History::new(config.redis_timeout)),
            secrets: config.secrets.clone(),
        };
        let link = Arc::new(Link::new(config.redis.clone(), crate::PATIENCE));
        let store = Store::new(of_store, link, StoreMetrics::new(&mut Registry::default()));
        let attempts = AttemptIds::new().map_err(wrong)?;
        Ok(Writer { runtime, store, route, attempts, digest })
    }

    /// Writes orders of a kind, one of each number.
    pub(crate) fn write(&self, kind: &Kind, numbers: Range<u64>) -> Result<(), BenchError> {
        let all = stream::iter(numbers).map(Ok);
        let each = |number| self.one(kind.fate, number);
        self.runtime.block_on(all.try_for_each_concurrent(AT_ONCE, each))
    }

    async fn one(&self, fate: Fate, number: u64) -> Result<(), BenchError> {
        let key = Key::from_text(&format!("2024-{number:010}")).map_err(wrong)?;
        let order = self.route.order("", key);
        match fate {
            Fate::Token => self.token(order).await,
            Fate::Queued => self.queued(&order).await,
            Fate::Cancelled => self.cancelled(&order).await,
            Fate::Callback => self.callback(order).await,
            Fate::Succeeded | Fate::Traced | Fate::Unknown | Fate::InFlight => {
                self.attempted(&order, fate).await
            }
        }
    }

    async fn attempted(&self, order: &Order, fate: Fate) -> Result<(), BenchError> {
        let tuning = &self.route.tuning;
        let attempt = self.attempts.next();
        let span = TraceContext { trace: [7; 16], span: [7; 8], sampled: true };
        let ask = ClaimAsk {
            order,
            attempt: &attempt,
            lease: tuning.lock_ttl,
            keep: tuning.unknown_ttl,
            fingerprints: &self.digest,
            callers: &self.digest,
            grant_from: &[State::None],
            ask: Some(tuning.query_interval),
            token: None,
            trace: (fate == Fate::Traced).then_some(span),
            left: false,
        };
        let Claim::Granted { fence, .. } = self.store.claim(&ask).await.map_err(wrong)? else {
            return Err(BenchError::Wrong("a claim was not granted".into()));
        };
        let (to, keep, kept, why) = match fate {
            Fate::InFlight => return Ok(()),
            Fate::Unknown => {
                let why = "upstream gave no answer in time";
                (State::Unknown, tuning.unknown_ttl, Kept::Nothing, why)
            }
            _ => {
                let kept = Kept::Response(answer(&json()));
                (State::Succeeded, tuning.record_ttl, kept, "upstream's answer")
            }
        };
        let settlement =
            Settlement { order, attempt: &attempt, fence, to, keep, kept: &kept, why, begun: None };
        self.store.settle(&settlement).await.map(drop).map_err(wrong)
    }

    async fn cancelled(&self, order: &Order) -> Result<(), BenchError> {
        let ask = CancelAsk {
            order,
            callers: Some(&self.digest),
            confirm: true,
            keep: self.route.tuning.cancel_ttl,
            by: None,
            why: "its caller asked",
        };
        self.store.cancel(&ask).await.map(drop).map_err(wrong)
    }

    async fn callback(&self, order: Order) -> Result<(), BenchError> {
        let event = Event::new(order, &[Field::Text("TRADE_SUCCESS".to_owned())]);
        let (attempt, keep) = (self.attempts.next(), self.route.tuning.callback_ttl);
        let arrival = Arrival {
            event: &event,
            attempt: &attempt,
            lease: self.route.tuning.lock_ttl,
            keep,
            unchanged: &self.digest,
            forward: true,
            trace: None,
        };
        self.store.accept_callback(&arrival).await.map_err(wrong)?;
        let ack = answer(&Bytes::from_static(b"success"));
        let settled = self.store.settle_callback(&event, (&attempt, 1), keep, &self.digest, &ack);
        settled.await.map(drop).map_err(wrong)
    }

    async fn queued(&self, order: &Order) -> Result<(), BenchError> {
        let request = Request::post("/order/pay").header(CONTENT_TYPE, "application/json");
        let (head, ()) = request.body(()).map_err(wrong)?.into_parts();
        let ask = EnqueueAsk {
            order,
            attempt: &self.attempts.next(),
            fingerprints: &self.digest,
            callers: &self.digest,
            token: None,
            head: &head,
            body: &json(),
            most: u64::MAX,
            trace: None,
        };
        self.store.enqueue(&ask).await.map(drop).map_err(wrong)
    }

    async fn token(&self, order: Order) -> Result<(), BenchError> {
        let token = Token::draw(Some(order)).map_err(wrong)?;
        let ttl = self.route.tuning.token_ttl;
        let issued = self.store.issue_token(&token, &self.digest, &self.route.name, ttl);
        issued.await.map(drop).map_err(wrong)
    }
}

/// 200 bytes, as many as a payment service's answer and a payment have.
fn json() -> Bytes {
    let start = r#"{"code":"0000","data":""#;
    let end = r#""}"#;
    format!("{start}{}{end}", "x".repeat(200 - start.len() - end.len())).into()
}

fn answer(body: &Bytes) -> StoredResponse {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    StoredResponse { status: hyper::StatusCode::OK, headers, body: body.clone() }
}

fn wrong(error: impl std::fmt::Display) -> BenchError {
    BenchError::Wrong(error.to_string())
}
