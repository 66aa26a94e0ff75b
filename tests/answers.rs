//! What a caller gets, row by row: an order is brought into a state, and its duplicate comes, as it
//! was sent first and with another payload. Then what upstream's answers are taken to mean.

use crate::resolve::{answering, asking, routes, state, to};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::upstream::{Act, Gate, Upstream};
use crate::support::{Refusing, until};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The same key, another amount.
fn other(key: &str) -> Call {
    Call::post("/pay").key(key).json(r#"{"amount":999}"#)
}

#[track_caller]
fn refused(reply: &Reply, status: u16, problem: &str, state: &str) {
    let told = (reply.status, reply.problem(), reply.state().to_owned());
    assert_eq!(told, (status, problem.to_owned(), state.to_owned()), "{}", reply.text());
}

#[track_caller]
fn mismatch(onceward: &Sidecar, key: &str, state: &str) {
    refused(&other(key).send(onceward.address), 422, "payload-mismatch", state);
}

fn plain(redis: &Redis, upstream: &Upstream) -> Builder {
    sidecar(redis, upstream).set("DUPLICATE_WAIT", "0s")
}

#[test]
fn none_is_forwarded_and_its_first_response_stored_and_returned() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = plain(&redis, &upstream).start();
    let first = Call::pay("1").send(onceward.address);
    assert_eq!((first.status, first.state(), first.is_replay()), (200, "succeeded", false));
    assert_eq!(upstream.calls(), 1);
    let record = Call::get("/admin/orders/default/1").send(onceward.admin).json();
    assert_eq!(record["response"]["body"], first.text());
}

#[test]
fn queued_gets_202_with_its_place_and_another_payload_422() {
    let (redis, nobody, port) = (Redis::start(), Upstream::start(), Refusing::bind());
    let onceward = plain(&redis, &nobody)
        .set("UPSTREAM", &port.url())
        .set("QUEUE_RETRY", "1h")
        .set("ROUTES", r#"[{"name":"pay","path":"/pay","mode":"async"}]"#)
        .start();
    Call::pay("1").send(onceward.address);
    until("it was tried and is queued again", || {
        onceward.metric(r#"onceward_dispatched_total{result="retried"}"#) == 1.0
    });
    let again = Call::pay("1").send(onceward.address);
    assert_eq!((again.status, again.state()), (202, "queued"));
    assert_eq!(again.header("location"), Some("/_onceward/orders/pay/1"));
    let other = Call::pay("2024-0001/a").send(onceward.address);
    assert_eq!(other.header("location"), Some("/_onceward/orders/pay/2024-0001%2Fa"));
    mismatch(&onceward, "1", "queued");
}

#[test]
fn in_flight_waits_for_the_replay_or_gets_409_in_progress_and_another_payload_422_at_once() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("paid").behind(&held));
    let impatient = plain(&redis, &upstream).start();
    let patient = plain(&redis, &upstream).set("DUPLICATE_WAIT", "1m").start();
    let first = Call::pay("1").spawn(impatient.address);
    upstream.heard(1);
    let early = Call::pay("1").send(impatient.address);
    refused(&early, 409, "in-progress", "in_flight");
    assert!(early.header("retry-after").is_some());
    // At once: a minute's wait would outlast the test's own patience.
    mismatch(&patient, "1", "in_flight");
    let waiting = Call::pay("1").spawn(patient.address);
    until("it waits", || patient.metric("onceward_waiters") == 1.0);
    gate.open();
    let (first, waited) = (first.join().unwrap(), waiting.join().unwrap());
    assert_eq!((waited.status, waited.is_replay(), waited.body), (200, true, first.body));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn unknown_gets_409_outcome_unknown_or_what_still_paying_said_and_another_payload_422() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.header("idempotency-key") {
        Some("said") => Act::ok(r#"{"status":"paying"}"#),
        _ => Act::Reset,
    });
    let onceward = asking(&redis, &upstream).start();
    for key in ["said", "silent"] {
        assert_eq!(Call::pay(key).send(onceward.address).state(), "unknown");
        mismatch(&onceward, key, "unknown");
    }
    let again = Call::pay("silent").send(onceward.address);
    refused(&again, 409, "outcome-unknown", "unknown");
    assert!(again.header("retry-after").is_some());
    let again = Call::pay("said").send(onceward.address);
    assert_eq!((again.status, again.state(), again.is_replay()), (200, "unknown", true));
    assert_eq!(again.text(), r#"{"status":"paying"}"#);
}

#[test]
fn unknown_waits_and_is_told_as_soon_as_the_outcome_is_known() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = answering(|| Act::Reset, move |_| Act::ok(r#"{"status":"paid"}"#).behind(&held));
    let patient = routes(|route| route["duplicate_wait"] = "1m".into());
    let onceward = asking(&redis, &upstream).set("ROUTES", &patient).start();
    Call::pay("1").send(onceward.address);
    let waiting = Call::pay("1").spawn(onceward.address);
    until("it waits", || onceward.metric("onceward_waiters") == 1.0);
    gate.open();
    let told = waiting.join().unwrap();
    assert_eq!((told.status, told.state(), told.is_replay()), (200, "succeeded", true));
    assert_eq!(to(&upstream, "/pay").len(), 1);
}

#[test]
fn cancelling_gets_409_outcome_unknown_and_another_payload_422() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/cancel" => Act::status(500, "{}"),
        _ => Act::Reset,
    });
    let onceward = asking(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    Call::post("/_onceward/orders/pay/1/cancel").send(onceward.address);
    assert_eq!(state(&onceward, "1"), "cancelling");
    let again = Call::pay("1").send(onceward.address);
    refused(&again, 409, "outcome-unknown", "cancelling");
    assert!(again.header("retry-after").is_some());
    mismatch(&onceward, "1", "cancelling");
}

#[test]
fn succeeded_and_failed_are_replayed_and_marked_and_another_payload_gets_422() {
    for (status, state) in [(200, "succeeded"), (402, "failed")] {
        let redis = Redis::start();
        let upstream =
            Upstream::acting(move |_, _| Act::status(status, "said").with("X-Channel", "c"));
        let onceward = plain(&redis, &upstream).start();
        let first = Call::pay("1").send(onceward.address);
        let again = Call::pay("1").send(onceward.address);
        assert_eq!((again.status, again.state(), again.is_replay()), (status, state, true));
        assert_eq!(
            (again.body, again.headers.contains(&("x-channel".into(), "c".into()))),
            (first.body, true,)
        );
        mismatch(&onceward, "1", state);
        assert_eq!(upstream.calls(), 1);
    }
}

#[test]
fn cancelled_gets_409_order_cancelled_and_another_payload_422_where_one_is_stored() {
    let (redis, upstream) = (Redis::start(), answering(|| Act::Reset, |_| Act::ok("{}")));
    let onceward = asking(&redis, &upstream).start();
    let cancel = |key: &str| {
        Call::post(&format!("/_onceward/orders/pay/{key}/cancel")).send(onceward.address)
    };
    // One that was paid before it was cancelled, and one that never was.
    Call::pay("1").send(onceward.address);
    cancel("1");
    cancel("2");
    until("it is cancelled", || state(&onceward, "1") == "cancelled");
    let heard = to(&upstream, "/pay").len();
    for key in ["1", "2"] {
        let again = Call::pay(key).send(onceward.address);
        refused(&again, 409, "order-cancelled", "cancelled");
    }
    mismatch(&onceward, "1", "cancelled");
    refused(&other("2").send(onceward.address), 409, "order-cancelled", "cancelled");
    assert_eq!(to(&upstream, "/pay").len(), heard);
}

#[test]
fn a_final_order_without_a_response_gets_its_document_or_409_already_final() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| Act::Reset);
    let onceward = asking(&redis, &upstream).start();
    for (key, state) in [("1", "succeeded"), ("2", "failed")] {
        Call::pay(key).send(onceward.address);
        let wish = format!(r#"{{"state":"{state}"}}"#);
        let path = format!("/admin/orders/pay/{key}/resolve");
        assert_eq!(Call::post(&path).json(&wish).send(onceward.admin).status, 200);
    }
    let paid = Call::pay("1").send(onceward.address);
    assert_eq!((paid.status, paid.state(), paid.is_replay()), (200, "succeeded", true));
    assert_eq!(paid.json()["state"], "succeeded");
    refused(&Call::pay("2").send(onceward.address), 409, "already-final", "failed");
}

#[test]
fn a_2xx_or_3xx_answer_is_a_success_and_any_4xx_but_429_a_failure() {
    for (status, state) in [
        (200, "succeeded"),
        (201, "succeeded"),
        (204, "succeeded"),
        (303, "succeeded"),
        (400, "failed"),
        (404, "failed"),
        (409, "failed"),
        (499, "failed"),
    ] {
        let redis = Redis::start();
        let upstream = Upstream::acting(move |_, _| Act::Answer(status, Vec::new(), Vec::new()));
        let onceward = plain(&redis, &upstream).start();
        for replay in [false, true] {
            let reply = Call::pay("1").send(onceward.address);
            assert_eq!((reply.status, reply.state(), reply.is_replay()), (status, state, replay));
        }
        assert_eq!(upstream.calls(), 1);
    }
}

#[test]
fn any_5xx_but_a_503_with_retry_after_is_unknown_with_that_answer_and_never_run_again() {
    for status in [500, 502, 503, 504, 599] {
        let redis = Redis::start();
        let upstream = Upstream::acting(move |_, _| Act::status(status, "oops"));
        let onceward = plain(&redis, &upstream).start();
        for replay in [false, true] {
            let reply = Call::pay("1").send(onceward.address);
            assert_eq!(
                (reply.status, reply.state(), reply.is_replay(), reply.text().as_str()),
                (status, "unknown", replay, "oops")
            );
        }
        assert_eq!(upstream.calls(), 1);
    }
}

/// A listener whose queue is full: who connects to it gets no answer at all.
fn full() -> (Refusing, SocketAddr, Vec<TcpStream>) {
    let socket = Refusing::bind();
    let address = socket.url().trim_start_matches("http://").parse().unwrap();
    socket.queue(0);
    let mut queued = Vec::new();
    while let Ok(one) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queued.push(one);
    }
    (socket, address, queued)
}

#[test]
fn connecting_that_takes_too_long_sent_nothing_and_a_retry_goes_through() {
    let (redis, nobody) = (Redis::start(), Upstream::start());
    let (socket, address, queued) = full();
    let onceward = plain(&redis, &nobody)
        .set("UPSTREAM", &format!("http://{address}"))
        .set("UPSTREAM_CONNECT_TIMEOUT", "300ms")
        .start();
    let late = Call::pay("1").send(onceward.address);
    refused(&late, 502, "upstream-unreachable", "none");
    drop(queued);
    let upstream = Upstream::on(socket.listen(), |_, _| Act::ok("paid"));
    until("a retry goes through", || Call::pay("1").send(onceward.address).status == 200);
    assert_eq!(upstream.calls(), 1);
}
