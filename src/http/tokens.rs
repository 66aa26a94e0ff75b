//! `POST <prefix>/tokens`: a right to start one payment.

use super::identify::{callers, scope};
use super::read_body::read_body;
use super::told::Outcome;
use super::{Answered, Arrived, Plane};
use crate::answer;
use crate::answer::problem::{Name, Problem};
use crate::model::field::Field;
use crate::model::json::{Document, unmarked};
use crate::model::key::Key;
use crate::model::token::Token;
use crate::route::{Route, TokenUse};
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The largest request for a token.
const MAX_BODY: usize = 64 * 1024;

/// The longest a token may be good for, whoever asks.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    route: Option<String>,
    /// Whether there is one; [`key`] reads it from the text, where its digits are all there.
    key: Option<IgnoredAny>,
    ttl: Option<String>,
}

impl Plane {
    pub(super) async fn issue_token(&self, request: Request<Arrived>) -> Result<Answered, Problem> {
        let (head, Arrived { body, .. }) = request.into_parts();
        let body = read_body(body, MAX_BODY, self.config.body_timeout, &self.memory).await?;
        let wish = read(&body)?;
        let route = self.route_of(&wish)?;
        let key = wish.key.map(|_| key(&body)).transpose()?;
        let ttl = ttl(&wish, &route)?;
        let order = match &key {
            Some(key) => {
                let scope = scope(&route, &head.headers)?;
                Some(route.order(&scope, key.clone()))
            }
            None => None,
        };
        let unavailable = |detail: &'static str| Problem::new(Name::StoreUnavailable, detail);
        let token = Token::draw(order).map_err(|_| unavailable("No random bits could be had."))?;
        let callers = callers(&self.secrets, &route, &head.headers);
        let writing = callers.split(',').next().unwrap_or_default();
        let until = self.guard.store.issue_token(&token, writing, &route.name, ttl).await;
        let until = until.map_err(|_| unavailable("No token was issued. Ask again."))?;
        let mut document = json!({
            "token": token.text(),
            "expires_at": answer::document::time(Some(until)),
            "route": &*route.name,
        });
        if let Some(key) = &key {
            document["key"] = key.as_str().into();
        }
        let mut response = answer::json(StatusCode::CREATED, &document);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(Answered::on(&route, Outcome::Token, response))
    }

    /// The route asked for; without one the first that looks at tokens, else the first.
    fn route_of(&self, wish: &Wish) -> Result<Arc<Route>, Problem> {
        let routes = self.routes.load();
        let route = match &wish.route {
            Some(name) => routes.of_orders(name),
            None => routes
                .0
                .iter()
                .find(|route| route.tuning.token != TokenUse::Off)
                .or_else(|| routes.0.iter().find(|route| route.callback.is_none())),
        };
        route.cloned().ok_or_else(|| Problem::new(Name::BadRequest, "There is no such route."))
    }
}

/// Nothing at all is a wish as well.
fn read(body: &[u8]) -> Result<Wish, Problem> {
    if body.is_empty() {
        return Ok(Wish::default());
    }
    let bad = || {
        let detail = "Expected a JSON object with route, key and ttl, each of them optional.";
        Problem::new(Name::BadRequest, detail)
    };
    // An array of three would do for serde.
    let body = unmarked(body);
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(bad());
    }
    serde_json::from_slice(body).map_err(|_| bad())
}

/// As in a payment's body, the key may be a string or an integer of any size: its digits.
fn key(body: &[u8]) -> Result<Key, Problem> {
    let invalid = |detail: String| Problem::new(Name::KeyInvalid, detail);
    match Document::parse(body).and_then(|wish| wish.field("/key")) {
        Ok(Field::Text(text)) => Key::from_text(&text).map_err(|error| invalid(error.to_string())),
        Ok(_) => Err(invalid("Neither a string nor an integer.".into())),
        Err(error) => Err(invalid(error.to_string())),
    }
}

fn ttl(wish: &Wish, route: &Route) -> Result<Duration, Problem> {
    let Some(text) = &wish.ttl else {
        return Ok(route.tuning.token_ttl);
    };
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl >= Duration::from_millis(1) && ttl <= LONGEST => Ok(ttl),
        _ => {
            Err(Problem::new(Name::BadRequest, "ttl: expected a duration up to 24h, such as 10m."))
        }
    }
}
