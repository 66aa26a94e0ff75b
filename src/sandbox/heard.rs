//! The other side of a callback: what a merchant's service does with one, and what it has heard.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};

use super::{
    answers::{Answer, Refusal},
    fields::Fields,
};

/// Orders whose callbacks are remembered; beyond it new ones are refused, and so repeated.
const MAX_ORDERS: usize = 100_000;
/// Callbacks remembered of one order.
const MAX_OF_ORDER: usize = 1000;

/// Every callback that was heard, in memory only.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<HashMap<String, Vec<Value>>>);

impl Heard {
    /// Remembers one, as often as it comes: hearing it once is somebody else's job. It is written
    /// down before it is acknowledged.
    pub(super) fn hear(&self, fields: &Fields) -> Result<Answer, Refusal> {
        let order = fields.name("orderId")?;
        let event = json!({
            "tradeStatus": fields.name("tradeStatus")?,
            "notifyId": fields.optional_name("notifyId")?,
        });
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= MAX_ORDERS && !heard.contains_key(&order) {
            return Err(Refusal::full());
        }
        let events = heard.entry(order).or_default();
        if events.len() >= MAX_OF_ORDER {
            return Err(Refusal::full());
        }
        events.push(event);
        let mut answer = Response::new(Full::new(Bytes::from_static(b"success")));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Ok(answer)
    }

    /// What was heard of an order, oldest first.
    pub(super) fn of(&self, fields: &Fields) -> Result<Value, Refusal> {
        let order = fields.name("orderId")?;
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(json!(heard.get(&order).map_or(&[][..], Vec::as_slice)))
    }
}
