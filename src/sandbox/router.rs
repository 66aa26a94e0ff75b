//! The HTTP edge: from a request to an [`Operation`], from a [`Reply`] to bytes, or to a reset.

use std::{sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{Method, Request, body::Incoming};
use tokio::time::{sleep, timeout};

use super::{
    answers::{Answer, Refusal, Reply},
    fields::{Fields, Origin},
    service::{Operation, Service},
};

/// The longest request body, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// A longer body is read and thrown away up to here, so that its sender lives to read the 413.
const MAX_DISCARDED: usize = 1024 * 1024;
/// A body arrives within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The connection is to be reset: there is no answer, on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox cuts this connection")]
pub(super) struct Cut;

/// Answers one request, or cuts its connection.
pub(super) async fn respond(
    service: Arc<Service>,
    request: Request<Incoming>,
) -> Result<Answer, Cut> {
    let reply = perform(&service, request).await;
    match reply.unwrap_or_else(|refusal| Reply::Now(refusal.into())) {
        Reply::Now(answer) => Ok(answer),
        Reply::After(delay, answer) => {
            sleep(delay).await;
            Ok(answer)
        }
        Reply::Reset => Err(Cut),
        Reply::Silence => {
            service.stop.cancelled().await;
            Err(Cut)
        }
    }
}

async fn perform(service: &Arc<Service>, request: Request<Incoming>) -> Result<Reply, Refusal> {
    let (head, body) = request.into_parts();
    let operation = route(&head.method, head.uri.path())?;
    let origin = Origin::of(&head.headers);
    let fields = if head.method == Method::POST {
        let body = timeout(BODY_TIMEOUT, read(body)).await;
        Fields::from_body(&body.map_err(|_| Refusal::body_too_slow())??)?
    } else {
        Fields::from_query(head.uri.query())
    };
    // A task of its own: a caller who hangs up must not stop a payment halfway.
    let performer = Arc::clone(service);
    let work = async move { performer.perform(operation, &fields, origin).await };
    service.tasks.spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a sandbox request failed");
        Err(Refusal::internal())
    })
}

fn route(method: &Method, path: &str) -> Result<Operation, Refusal> {
    let (allowed, operation) = match path {
        "/order/create" => ("POST", Operation::Create),
        "/order/pay" => ("POST", Operation::Pay),
        "/order/cancel" => ("POST", Operation::Cancel),
        "/order/refund" => ("POST", Operation::Refund),
        "/order/ship" => ("POST", Operation::Ship),
        "/order/get_result" => ("GET", Operation::GetResult),
        "/notify" => ("POST", Operation::Notify),
        "/notifications" => ("GET", Operation::Notifications),
        "/ledger" => ("GET", Operation::Ledger),
        "/healthz" => ("GET", Operation::Health),
        _ => return Err(Refusal::no_such_path(path)),
    };
    if method.as_str() == allowed { Ok(operation) } else { Err(Refusal::wrong_method(allowed)) }
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Refusal> {
    let mut kept = Vec::new();
    let mut seen = 0;
    while seen <= MAX_DISCARDED
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|_| Refusal::bad_input("the body broke off"))?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        seen += bytes.len();
        if seen <= MAX_BODY {
            kept.extend_from_slice(&bytes);
        }
    }
    if seen > MAX_BODY { Err(Refusal::body_too_large(MAX_BODY)) } else { Ok(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_takes_its_one_method() {
        let check = |method, path, expected: Result<Operation, &str>| {
            let seen = route(&method, path).map_err(|refusal| refusal.to_string());
            match (seen, expected) {
                (Ok(seen), Ok(expected)) => assert_eq!(seen, expected, "{path}"),
                (Err(seen), Err(expected)) => assert!(seen.starts_with(expected), "{seen}"),
                (seen, expected) => panic!("{path}: {seen:?}, not {expected:?}"),
            }
        };
        check(Method::POST, "/order/pay", Ok(Operation::Pay));
        check(Method::POST, "/order/ship", Ok(Operation::Ship));
        check(Method::GET, "/order/get_result", Ok(Operation::GetResult));
        check(Method::POST, "/notify", Ok(Operation::Notify));
        check(Method::GET, "/order/pay", Err("405"));
        check(Method::POST, "/ledger", Err("405"));
        check(Method::POST, "/order/pay/", Err("404"));
        check(Method::GET, "/", Err("404"));
    }
}
