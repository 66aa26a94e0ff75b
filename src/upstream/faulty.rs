//! The accidents that may happen on the way to the payment service and back.

use super::{Reuse, SendError, Upstream};
use crate::fault::{At, Deed, Firing};
use crate::payload::{Payload, Tamper};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};

/// What a request is for; each has places of its own at which it may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// An attempt at an order.
    Attempt,
    /// The forwarding of a notification.
    Callback,
    /// A query.
    Query,
    /// A cancel.
    Cancel,
}

impl Leg {
    /// Where it may fail before anything was sent, and after upstream has acted.
    fn places(self) -> (At, At) {
        match self {
            Leg::Attempt => (At::UpstreamRequest, At::UpstreamResponse),
            Leg::Callback => (At::Callback, At::Callback),
            Leg::Query => (At::Query, At::Query),
            Leg::Cancel => (At::Cancel, At::Cancel),
        }
    }
}

/// A request that is about to leave.
pub struct Departure<Late, MaySend> {
    /// What it is for.
    pub leg: Leg,
    /// Its target and `Host` are set.
    pub request: Box<Request<Payload>>,
    /// Ready when nobody waits for the head of its answer any more.
    pub late: Late,
    /// Asked last of all before it is handed over.
    pub may_send: MaySend,
}

/// An answer whose body has yet to be read.
pub type Answered = (Response<Payload>, Reuse);

/// The connection broke: nothing of hyper's, and so an error of its own.
#[derive(Debug, thiserror::Error)]
#[error("the connection was reset (fault {0})")]
struct ResetByFault(std::sync::Arc<str>);

impl Upstream {
    /// Sends a request as [`Upstream::send`] does, with the accidents its leg may meet.
    ///
    /// # Errors
    /// [`SendError`] says whether the request may have been sent, for all the sender can know.
    pub async fn send_on(
        &self,
        departure: Departure<impl Future<Output = ()>, impl Fn() -> bool>,
    ) -> Result<Answered, SendError> {
        if self.faults.are_on() {
            // In a box: no other request is to carry the state of accidents along.
            return Box::pin(self.send_struck(departure)).await;
        }
        let Departure { request, late, may_send, .. } = departure;
        self.send(request, late, may_send).await.map(plain)
    }

    async fn send_struck(
        &self,
        departure: Departure<impl Future<Output = ()>, impl Fn() -> bool>,
    ) -> Result<Answered, SendError> {
        let Departure { leg, request, late, may_send } = departure;
        let mut late = std::pin::pin!(late);
        let (before, after) = leg.places();
        let before = self.faults.before(before);
        let request = tokio::select! {
            biased;
            prepared = prepare(request, &before) => match prepared {
                Prepared::Send(request) => request,
                Prepared::Answer(status) => return Ok((made_up(status), Reuse(None))),
                Prepared::Refused(why) => return Err(SendError::NotSent(why)),
            },
            // It was handed over, for all anybody can see.
            () = &mut late => return Err(SendError::Silent),
        };
        let answered = match copy(&request, &before) {
            None => self.send(request, &mut late, may_send).await.map(plain)?,
            Some(copy) => {
                let never = std::future::pending;
                let both = async {
                    tokio::join!(
                        self.send(request, never(), &may_send),
                        self.send(copy, never(), &may_send)
                    )
                };
                tokio::select! {
                    biased;
                    (first, _second) = both => plain(first?),
                    () = &mut late => return Err(SendError::Silent),
                }
            }
        };
        let after = self.faults.after(after);
        tokio::select! {
            biased;
            answered = harm(answered, &after) => answered,
            () = &mut late => Err(SendError::Silent),
        }
    }
}

fn plain(exchange: super::Exchange) -> Answered {
    let (response, connection) = exchange.into_parts();
    (response.map(Payload::Incoming), connection)
}

/// What becomes of a request before anything of it was sent.
enum Prepared {
    Send(Box<Request<Payload>>),
    Answer(StatusCode),
    Refused(String),
}

async fn prepare(mut request: Box<Request<Payload>>, firings: &[Firing]) -> Prepared {
    for firing in firings {
        firing.hold().await;
        let tamper = match &firing.deed {
            Deed::Reset => return Prepared::Refused(format!("fault {}", firing.id())),
            Deed::Status(status) => return Prepared::Answer(*status),
            Deed::Corrupt => Tamper::Corrupt,
            Deed::Cut(at) => Tamper::Cut(*at),
            _ => continue,
        };
        request = Box::new(request.map(|body| body.tampered(tamper)));
    }
    Prepared::Send(request)
}

/// A second copy of a request, where one is to be sent. A body that was tampered with is not
/// copied: the second goes as it was meant.
fn copy(request: &Request<Payload>, firings: &[Firing]) -> Option<Box<Request<Payload>>> {
    firings.iter().find(|firing| firing.deed == Deed::Duplicate)?;
    let body = match request.body() {
        Payload::Full(body) => body.clone(),
        _ => return None,
    };
    let mut copy = Request::new(Payload::Full(body));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(Box::new(copy))
}

/// What becomes of an answer on its way back.
async fn harm(answered: Answered, firings: &[Firing]) -> Result<Answered, SendError> {
    let (mut response, mut connection) = answered;
    for firing in firings {
        firing.hold().await;
        match &firing.deed {
            Deed::Reset => {
                return Err(SendError::Broken(ResetByFault(firing.id().clone()).into()));
            }
            Deed::Status(status) => response = made_up(*status),
            Deed::Body(body) => response = replaced(response, Payload::Full(body.clone())),
            Deed::Pad(bytes) => response = tampered(response, Tamper::Pad(*bytes)),
            Deed::Cut(at) => response = tampered(response, Tamper::Cut(*at)),
            Deed::Corrupt => response = tampered(response, Tamper::Corrupt),
            _ => continue,
        }
        // Whatever is left on it is not what we read.
        connection = Reuse(None);
    }
    Ok((response, connection))
}

fn made_up(status: StatusCode) -> Response<Payload> {
    let mut response = Response::new(Payload::empty());
    *response.status_mut() = status;
    response
}

fn tampered(response: Response<Payload>, tamper: Tamper) -> Response<Payload> {
    let (head, body) = response.into_parts();
    replaced(Response::from_parts(head, Payload::empty()), body.tampered(tamper))
}

/// The response with another body, and without what its head said of the old one's length.
fn replaced(response: Response<Payload>, body: Payload) -> Response<Payload> {
    let mut response = response.map(|_| body);
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_ENCODING] {
        response.headers_mut().remove(name);
    }
    response
}
