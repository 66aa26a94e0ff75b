//! The admin plane.
//!
//! | call | what |
//! |---|---|
//! | `GET /livez` | 200 while the process runs; never asks Redis |
//! | `GET /readyz` | 200, or 503 with the reasons |
//! | `GET /metrics` | OpenMetrics |
//! | `GET /console` | the page for people; it holds no data, what it shows it asks for below |
//! | `GET /admin/console` | what that page begins with: role, routes, names |
//! | `GET /admin/overview` | how things stand, and samples of the last 15 minutes |
//! | `GET /admin/overview/stream` | the same, then what is new, as server-sent events |
//! | `GET /admin/posture` | what `onceward doctor` says, up to a minute old |
//! | `GET /admin/attention/{unknown,cancelling,dead,alarms}?after=&limit=` | what needs a person, oldest first; `next` is the next `after` |
//! | `GET /admin/config` | the effective configuration, secrets masked: variables, and what is in force on each route |
//! | `GET /admin/orders?state=&scope=&cursor=&limit=` | orders, up to `limit` a page, fewer where their responses are large; `next` is the next cursor |
//! | `GET /admin/orders/{route}/{key}?scope=&masked=` | one order with its history; `masked=true` without the secrets of its response |
//! | `POST /admin/orders/{route}/{key}/cancel?scope=` `{"why"?}` | a tombstone where nothing was sent, else `cancelling` |
//! | `POST /admin/orders/{route}/{key}/resolve?scope=` `{"state", "why"?}` | an order of unknown outcome ended so |
//! | `POST /admin/orders/{route}/{key}/release?scope=` `{"why"?}` | an order of unknown outcome may run again |
//! | `POST /admin/leave` | not ready from now on, though it serves as before; until the process ends |
//! | `GET /admin/faults` | the fault rules, and how often each fired; 409 while FAULTS is off, as the next ones |
//! | `PUT /admin/faults/{id}` | puts a rule: 201, or 200 in the place of another |
//! | `DELETE /admin/faults/{id}`, `DELETE /admin/faults` | takes one off, or all: 204; what they held goes on |
//!
//! Open are the first three and the page. The rest needs the bearer token: the reader's for what
//! is asked with GET, and then responses are always masked; the operator's for all of it. Where
//! none is configured, it answers loopback only, and no other page's requests.

mod act;
mod attention;
mod authorize;
mod console;
mod faults;
mod mask;
mod nearby;
mod orders;
pub mod overview;
mod posture;
mod ready;
mod watch;

use crate::answer;
use crate::answer::problem::{Name, Problem};
use crate::config::{AdminTokens, Config, shown};
use crate::fault::Faults;
use crate::guard::{GuardMetrics, Hints};
use crate::model::identity::AttemptIds;
use crate::payload::Payload;
use crate::route::Routes;
use crate::serve::Arrived;
use crate::store::Store;
use crate::worker::ResolveMetrics;
use arc_swap::ArcSwap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use overview::Overview;
use posture::Examined;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tower::Service;
use tower::util::{BoxCloneSyncService, ServiceExt};

/// What the admin plane asks.
#[derive(Clone)]
pub struct Admin {
    /// What is in force.
    pub config: Config,
    /// The tokens in force.
    pub tokens: Arc<ArcSwap<AdminTokens>>,
    /// The routes in force.
    pub routes: Arc<ArcSwap<Routes>>,
    /// Where orders are.
    pub store: Arc<Store>,
    /// What is counted.
    pub registry: Arc<Registry>,
    /// How things stand and stood.
    pub overview: Arc<Overview>,
    /// What Redis was found to be like.
    pub examined: Arc<Examined>,
    /// How this replica signs what it writes.
    pub replica: String,
    /// Cancelled once the data plane drains.
    pub draining: CancellationToken,
    /// Cancelled once somebody asked us to leave: callers are to go elsewhere, and served meanwhile.
    pub leaving: CancellationToken,
    /// Counts permissions.
    pub guard: GuardMetrics,
    /// Counts what operators resolve.
    pub metrics: ResolveMetrics,
    /// Told of orders to be cancelled upstream.
    pub hints: Hints,
    /// Names for what operators do.
    pub turns: Arc<AttemptIds>,
    /// Accidents on demand.
    pub faults: Faults,
}

/// The plane's service.
pub fn service(
    admin: Admin,
) -> impl Service<Request<Arrived>, Response = Response<Payload>, Error = Infallible, Future: Send>
+ Clone
+ Send {
    let admin = Arc::new(admin);
    BoxCloneSyncService::new(
        tower::service_fn(move |request: Request<Arrived>| {
            let admin = admin.clone();
            async move { Ok(admin.answer(request).await.unwrap_or_else(Problem::into_response)) }
        })
        .map_err(|never: Infallible| never),
    )
}

impl Admin {
    async fn answer(&self, request: Request<Arrived>) -> Result<Response<Payload>, Problem> {
        let path = request.uri().path();
        if let Some(rest) = path.strip_prefix("/admin/") {
            let asker = self.authorize(&request)?;
            let parts: Vec<&str> = rest.split('/').collect();
            return match (request.method(), parts.as_slice()) {
                (&Method::GET, ["config"]) => Ok(self.show_config()),
                (&Method::POST, ["leave"]) => Ok(self.leave(&asker)),
                (&Method::GET, ["console"]) => Ok(self.show_console(&asker)),
                (&Method::GET, ["overview"]) => Ok(self.show_overview()),
                (&Method::GET, ["overview", "stream"]) => self.stream_overview(),
                (&Method::GET, ["posture"]) => Ok(self.posture().await),
                (&Method::GET, ["attention", list]) => self.attention(list, &request).await,
                (&Method::GET, ["orders"]) => self.list_orders(&asker, &request).await,
                (&Method::GET, ["orders", route, key]) => {
                    self.show_order(route, key, &asker, &request).await
                }
                (
                    &Method::POST,
                    ["orders", route, key, verb @ ("cancel" | "resolve" | "release")],
                ) => {
                    let what = (route.to_string(), key.to_string(), verb.to_string());
                    self.act((&what.0, &what.1, &what.2), &asker, request).await
                }
                (_, ["faults"]) => self.all_faults(&asker, &request),
                (_, ["faults", id]) => {
                    let id = id.to_string();
                    self.one_fault(&id, &asker, request).await
                }
                _ => Err(nothing_here()),
            };
        }
        if let Some(file) = console::file(path) {
            return console::serve(file, request.method());
        }
        match (request.method(), path) {
            (&Method::GET | &Method::HEAD, "/livez") => Ok(answer::text(StatusCode::OK, "ok\n")),
            (&Method::GET | &Method::HEAD, "/readyz") => Ok(self.ready().await),
            (&Method::GET, "/metrics") => Ok(self.show_metrics()),
            _ => Err(nothing_here()),
        }
    }

    fn show_config(&self) -> Response<Payload> {
        let variables: Map<String, Value> = self
            .config
            .shown
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let routes: Vec<Value> = self
            .routes
            .load()
            .0
            .iter()
            .map(|route| {
                let fields = shown::route(route).into_iter();
                fields.map(|(field, value)| (field.to_owned(), value)).collect()
            })
            .map(Value::Object)
            .collect();
        answer::json(StatusCode::OK, &json!({"variables": variables, "routes": routes}))
    }

    fn show_metrics(&self) -> Response<Payload> {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        let mut response = answer::text(StatusCode::OK, text);
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        );
        response
    }
}

fn nothing_here() -> Problem {
    Problem::new(Name::NotFound, "The admin plane has no such endpoint.")
}
