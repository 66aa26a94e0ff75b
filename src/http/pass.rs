//! What is not protected streams through: no buffering, no Redis, other protocols tunnelled.

use super::forward::{is_ours, may_upgrade, towards_upstream};
use super::told::Outcome;
use super::trailers::{Trailers, are_wanted};
use super::{Answered, Arrived, Plane};
use crate::answer::problem::{Name, Problem, Told};
use crate::guard::{Again, Refusal, end_to_end};
use crate::model::order::State;
use crate::payload::{Payload, PayloadError};
use crate::upstream::SendError;
use bytes::Bytes;
use hyper::body::Body;
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Plane {
    /// Passes a request on as it comes.
    pub(super) async fn pass(
        self: Arc<Self>,
        mut request: Request<Arrived>,
    ) -> Result<Answered, Problem> {
        if may_upgrade(request.headers()) {
            let caller = hyper::upgrade::on(&mut request);
            return Box::pin(self.tunnel(request, caller)).await;
        }
        let (mut head, Arrived { body, connection }) = request.into_parts();
        let trailers = Trailers::of(&head.headers, |name| is_ours(name, &self.config));
        towards_upstream(&mut head, &connection, &self.config, false);
        trailers.tell(&mut head.headers);
        if body.is_end_stream() {
            return self.pass_whole(head, Bytes::new()).await;
        }
        // Upstream's time begins when it has all of the request.
        let sent = CancellationToken::new();
        let all_sent = sent.clone();
        let body = Payload::stream(body, Some(self.config.body_timeout), move || all_sent.cancel());
        let late = async {
            sent.cancelled().await;
            tokio::time::sleep(self.config.upstream_timeout).await;
        };
        self.send(Request::from_parts(head, body).into(), late).await
    }

    /// Passes on a request that is here to its end: it has no body, or was read in search of a key.
    pub(super) async fn pass_whole(&self, head: Parts, body: Bytes) -> Result<Answered, Problem> {
        let late = tokio::time::sleep(self.config.upstream_timeout);
        self.send(Request::from_parts(head, Payload::Full(body)).into(), late).await
    }

    async fn send(
        &self,
        request: Box<Request<Payload>>,
        late: impl Future<Output = ()>,
    ) -> Result<Answered, Problem> {
        // It does so in our words, where its caller did in its own.
        let wants_trailers = are_wanted(request.headers());
        let exchange = self.guard.upstream.send(request, late, || true).await.map_err(problem)?;
        let response = exchange.streaming();
        let trailers = match wants_trailers {
            true => Trailers::of_answer(response.headers()),
            false => Trailers::default(),
        };
        let mut answered = passed(response);
        trailers.tell(answered.response.headers_mut());
        Ok(answered)
    }

    /// Passes on a request to change protocols, and everything after it when upstream agrees.
    async fn tunnel(
        &self,
        request: Request<Arrived>,
        caller: OnUpgrade,
    ) -> Result<Answered, Problem> {
        let (mut head, Arrived { body, connection }) = request.into_parts();
        towards_upstream(&mut head, &connection, &self.config, true);
        let body = Payload::stream(body, Some(self.config.body_timeout), || {});
        let sending = self.guard.upstream.send_upgrade(Request::from_parts(head, body));
        let mut response = tokio::time::timeout(self.config.upstream_timeout, sending)
            .await
            .map_err(|_| problem(SendError::Silent))?
            .map_err(problem)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(passed(response.map(|body| Payload::stream(body, None, || {}))));
        }
        let upstream = hyper::upgrade::on(&mut response);
        // Not among what must end before the process may: a tunnel has no end of its own.
        tokio::spawn(async move {
            if let (Ok(caller), Ok(upstream)) = tokio::join!(caller, upstream) {
                let (mut caller, mut upstream) = (TokioIo::new(caller), TokioIo::new(upstream));
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut upstream).await;
            }
        });
        // The headers of a change of protocol belong to it and stay.
        Ok(told(response.map(|_| Payload::empty())))
    }
}

fn passed(mut response: Response<Payload>) -> Answered {
    end_to_end(response.headers_mut());
    told(response)
}

fn told(response: Response<Payload>) -> Answered {
    Answered { response, told: Some(Told { route: None, outcome: Outcome::Passed.word() }) }
}

/// What to tell of a request that was not protected: no order's state is at stake.
fn problem(error: SendError) -> Problem {
    if let Some(problem) = callers_fault(&error) {
        return problem.closing();
    }
    let refusal = match error {
        SendError::NotSent(_) => Refusal::UpstreamUnreachable,
        SendError::Broken(_) => Refusal::UpstreamBroken(Again::Runs),
        SendError::Silent => Refusal::UpstreamTimeout(Again::Runs),
    };
    Problem::of(refusal, State::Unknown).stateless().closing()
}

/// What to tell when the exchange broke because of the caller's body.
fn callers_fault(error: &SendError) -> Option<Problem> {
    let mut cause: Option<&dyn Error> = error.source();
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(PayloadError::Silent) => {
                let detail = "The body did not arrive in time.";
                return Some(Problem::new(Name::RequestTimeout, detail));
            }
            Some(PayloadError::Broken(_)) => {
                let detail = "The body is not what its head announced.";
                return Some(Problem::new(Name::BadRequest, detail));
            }
            Some(PayloadError::Cut) | None => cause = error.source(),
        }
    }
    None
}
