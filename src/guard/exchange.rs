//! One exchange with the payment service, read to its end, and what it tells.
//!
//! Every way it can go is a value of [`Outcome`]; none of them is an error.

use super::callback::Named;
use super::{Again, Guard, Payment, Refusal};
use crate::model::outcome::{Meaning, of_attempt};
use crate::model::response::strip;
use crate::payload::{Payload, PayloadError};
use crate::trace::{Kind, Span};
use crate::upstream::{Departure, Leg, Reuse, SendError};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Request, Response, StatusCode};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// What upstream is told of an order, so that it can deduplicate as well.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FENCE: HeaderName = HeaderName::from_static("onceward-fence");

/// What came of sending a request.
pub(super) enum Outcome {
    /// No byte left.
    NotSent(String),
    /// It may have arrived, and no whole answer came.
    NoAnswer(NoAnswer),
    /// A whole answer.
    Answer(Response<Bytes>, Meaning),
    /// An answer larger than what is stored; its rest is still to come.
    Large(Box<Large>, Meaning),
}

/// How an answer failed to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// In time.
    Silent,
    /// Whole: reset, cut or malformed.
    Broken,
}

impl NoAnswer {
    /// What its caller is told; `again` is what comes of sending the request again.
    pub(super) const fn refusal(self, again: Again) -> Refusal {
        match self {
            NoAnswer::Silent => Refusal::UpstreamTimeout(again),
            NoAnswer::Broken => Refusal::UpstreamBroken(again),
        }
    }
}

/// An answer that is relayed without being stored.
pub(super) struct Large {
    head: Response<()>,
    read: Bytes,
    rest: Payload,
    connection: Reuse,
    /// How long upstream may be silent at a time.
    patience: Duration,
}

/// Pieces of a relayed answer read ahead of its caller.
const READ_AHEAD: usize = 8;

impl Guard {
    /// Sends the request, if it still may be when a connection stands, and reads the answer, for no
    /// longer than the route allows.
    pub(super) async fn exchange(
        &self,
        payment: &Payment,
        fence: Option<u64>,
        may_send: impl Fn() -> bool,
    ) -> Outcome {
        let span = payment.span.child("upstream", Kind::Client);
        let outcome = match payment.body.take() {
            Some(body) => {
                let request = request(payment, body, fence, &span);
                self.exchanged(payment, request, may_send).await
            }
            None => Outcome::NotSent("it was sent before".into()),
        };
        outcome.tell(&span);
        outcome
    }

    async fn exchanged(
        &self,
        payment: &Payment,
        request: Box<Request<Payload>>,
        may_send: impl Fn() -> bool,
    ) -> Outcome {
        let started = Instant::now();
        let until = started + payment.route.tuning.upstream_timeout;
        let leg = if payment.route.callback.is_some() { Leg::Callback } else { Leg::Attempt };
        let mut late = std::pin::pin!(sleep_until(until));
        // However it ends: a service that hangs is slow as well.
        let ended = || {
            let now = Instant::now();
            self.metrics.upstream.observe((now - started).as_secs_f64());
            now
        };
        let departure = Departure { leg, request, late: late.as_mut(), may_send };
        let (response, connection) = match self.upstream.send_on(departure).await {
            Ok(answered) => answered,
            Err(SendError::NotSent(why)) => return Outcome::NotSent(why),
            Err(SendError::Silent) => {
                ended();
                return Outcome::NoAnswer(NoAnswer::Silent);
            }
            Err(SendError::Broken(error)) => {
                ended();
                tracing::debug!(%error, "no answer from upstream");
                return Outcome::NoAnswer(NoAnswer::Broken);
            }
        };
        let (mut head, mut body) = response.into_parts();
        if head.status.is_informational() {
            // Nobody asked for another protocol: this is no answer to a payment.
            ended();
            return Outcome::NoAnswer(NoAnswer::Broken);
        }
        if payment.route.callback.is_some()
            && let Some(named) = Named::take(&mut head.headers)
        {
            head.extensions.insert(named);
        }
        end_to_end(&mut head.headers);
        let cap = payment.route.tuning.max_response_body;
        let collected = tokio::select! {
            biased;
            collected = collect(&mut body, cap) => Some(collected),
            () = late => None,
        };
        let ended = ended();
        match collected {
            None => Outcome::NoAnswer(NoAnswer::Silent),
            Some(Err(_)) => Outcome::NoAnswer(NoAnswer::Broken),
            Some(Ok(Collected::Whole(body))) => {
                connection.put_back(ended);
                let meaning = meaning(payment, &head, Some(&body));
                Outcome::Answer(Response::from_parts(head, body), meaning)
            }
            Some(Ok(Collected::Over(read))) => {
                let meaning = meaning(payment, &head, None);
                let head = Response::from_parts(head, ());
                let patience = payment.route.tuning.upstream_timeout;
                let large = Large { head, read, rest: body, connection, patience };
                Outcome::Large(Box::new(large), meaning)
            }
        }
    }
}

/// What an answer means for its order: where its route's rules cannot tell, nobody knows.
fn meaning(payment: &Payment, head: &Parts, body: Option<&[u8]>) -> Meaning {
    let rules = &payment.route.outcome;
    of_attempt(rules, head.status, &head.headers, body).unwrap_or_else(|why| {
        tracing::warn!(
            order = %payment.order.id, status = head.status.as_u16(), %why,
            "a rule has to read an answer that cannot be read: its outcome is unknown"
        );
        Meaning::Unknown
    })
}

impl Outcome {
    /// Says what came of it.
    fn tell(&self, span: &Span) {
        let answered = |status: StatusCode, meaning: &Meaning| {
            span.set("http.response.status_code", u64::from(status.as_u16()));
            span.set("onceward.meaning", meaning.word());
        };
        match self {
            Outcome::NotSent(_) => span.fail("nothing was sent"),
            Outcome::NoAnswer(no_answer) => span.fail(why(*no_answer)),
            Outcome::Answer(response, meaning) => answered(response.status(), meaning),
            Outcome::Large(large, meaning) => answered(large.status(), meaning),
        }
        span.end();
    }
}

impl Large {
    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// The answer for the caller, in its own time. A task reads it to its end whether or not the
    /// caller stays, so that upstream is not cut off in the middle of its work.
    pub(super) fn relay(self, running: &tokio_util::task::TaskTracker) -> Response<Payload> {
        let Large { head, read, mut rest, connection, patience } = self;
        let length = rest.size_hint().exact().map(|left| left + read.len() as u64);
        let (pieces, heard) = tokio::sync::mpsc::channel(READ_AHEAD);
        running.spawn(async move {
            // A caller may take its time, as for any answer.
            let mut listened = pieces.send(Ok(read)).await.is_ok();
            loop {
                let frame = match timeout(patience, rest.frame()).await {
                    Ok(None) => return connection.put_back(Instant::now()),
                    Ok(Some(Ok(frame))) => frame,
                    Ok(Some(Err(_))) | Err(_) => {
                        let _ = pieces.send(Err(PayloadError::Cut)).await;
                        return;
                    }
                };
                if let (true, Ok(piece)) = (listened, frame.into_data()) {
                    listened = pieces.send(Ok(piece)).await.is_ok();
                }
            }
        });
        head.map(|()| Payload::Relayed(heard, length))
    }
}

enum Collected {
    Whole(Bytes),
    /// More than the cap; what was read of it.
    Over(Bytes),
}

/// Reads a body to its end, or to where it is larger than `cap`.
async fn collect(body: &mut Payload, cap: usize) -> Result<Collected, PayloadError> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    // Room for all of it at once, where its length is told and it will be kept.
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let room = if told <= cap { told } else { 0 };
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        if first.is_empty() && more.is_empty() {
            first = piece;
        } else {
            if more.is_empty() {
                more.reserve(room);
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&piece);
        }
        if first.len().max(more.len()) > cap {
            return Ok(Collected::Over(whole(first, more)));
        }
    }
    Ok(Collected::Whole(whole(first, more)))
}

/// One piece as it came; several in one.
fn whole(first: Bytes, more: BytesMut) -> Bytes {
    if more.is_empty() { first } else { more.freeze() }
}

/// The request as it goes out: the payment's, with the second line of defence on it.
fn request(
    payment: &Payment,
    body: Bytes,
    fence: Option<u64>,
    span: &Span,
) -> Box<Request<Payload>> {
    let mut request = Box::new(Request::new(Payload::Full(body)));
    *request.method_mut() = payment.head.method.clone();
    *request.uri_mut() = payment.head.uri.clone();
    let mut headers = payment.head.headers.clone();
    // A compressed body tells nobody here what it means.
    if payment.route.reads_answers() {
        headers.remove(ACCEPT_ENCODING);
    }
    // A key is visible ASCII and a number is digits: both are always header values.
    if let Ok(key) = HeaderValue::from_str(payment.order.key.as_str()) {
        headers.insert(KEY, key);
    }
    if let Some(fence) = fence {
        headers.insert(FENCE, HeaderValue::from(fence));
    }
    crate::trace::pass_on(span, &mut headers);
    *request.headers_mut() = headers;
    request
}

/// Takes off an answer what belongs to the connection, and what only Onceward says.
pub(crate) fn end_to_end(headers: &mut HeaderMap) {
    strip(headers, |name| name.as_str().starts_with("onceward-"));
}

/// A failed exchange in a few words, for the order's history.
pub(super) const fn why(no_answer: NoAnswer) -> &'static str {
    match no_answer {
        NoAnswer::Silent => "upstream gave no answer in time",
        NoAnswer::Broken => "upstream broke off, or its answer was malformed",
    }
}
