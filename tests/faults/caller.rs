//! What happens between a caller and the sidecar.

use super::{play, playing};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::Sidecar;
use crate::support::upstream::Upstream;
use crate::support::{PATIENCE, until};
use serde_json::json;
use std::io::{ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;

/// All that comes back on a connection, and how it ends.
fn raw(call: &Call, onceward: &Sidecar) -> (String, Option<ErrorKind>) {
    let mut stream = call.begin(onceward.address);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).err().map(|error| error.kind());
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

#[test]
fn a_request_that_comes_twice_is_paid_once_and_its_caller_gets_the_replay() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    // The copy waits for the first.
    let onceward = playing(&redis, &upstream).set("DUPLICATE_WAIT", "30s").start();
    onceward.fault("f", json!({"at": "request", "do": {"duplicate": true}, "times": 1}));
    let reply = Call::pay("1").send(onceward.address);
    assert_eq!((reply.status, reply.is_replay()), (200, true));
    assert_eq!(reply.header("onceward-fault"), Some("f"));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_request_that_comes_changed_is_another_request() {
    let (_redis, upstream, onceward) = play();
    assert_eq!(Call::pay("1").send(onceward.address).status, 200);
    onceward.fault("f", json!({"at": "request", "do": {"corrupt": true}}));
    let changed = Call::pay("1").send(onceward.address);
    assert_eq!((changed.status, changed.problem().as_str()), (422, "payload-mismatch"));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_request_that_is_overtaken_by_its_cancel_is_refused() {
    let (_redis, upstream, onceward) = play();
    onceward.fault("f", json!({"at": "request", "do": {"lose": true}}));
    let payment = Call::pay("1").spawn(onceward.address);
    until("it is held", || onceward.fired("f") == 1);
    let cancel = Call::post("/_onceward/orders/default/1/cancel").send(onceward.address);
    assert_eq!(cancel.status, 200);
    onceward.heal("f");
    let refused = payment.join().unwrap();
    assert_eq!((refused.status, refused.problem().as_str()), (409, "order-cancelled"));
    assert_eq!(upstream.calls(), 0);
}

#[test]
fn a_request_may_be_answered_by_a_gateway_or_reset_and_is_never_seen() {
    let (_redis, upstream, onceward) = play();
    onceward.fault("f", json!({"at": "request", "do": {"status": 502}, "times": 1}));
    let reply = Call::pay("1").send(onceward.address);
    assert_eq!((reply.status, reply.state(), reply.body.len()), (502, "", 0));
    onceward.fault("f", json!({"at": "request", "do": {"reset": true}, "times": 1}));
    assert_eq!(raw(&Call::pay("1"), &onceward), (String::new(), Some(ErrorKind::ConnectionReset)));
    assert_eq!(upstream.calls(), 0);
    assert_eq!(Call::pay("1").send(onceward.address).status, 200);
}

#[test]
fn an_answer_may_be_lost_reset_cut_or_changed_and_its_duplicate_is_not() {
    let (_redis, upstream, onceward) = play();
    let fault = |deed| onceward.fault("f", json!({"at": "response", "do": deed, "times": 1}));
    fault(json!({"reset": true}));
    assert_eq!(
        raw(&Call::pay("reset"), &onceward),
        (String::new(), Some(ErrorKind::ConnectionReset))
    );
    fault(json!({"cut": 4}));
    let (cut, _) = raw(&Call::pay("cut"), &onceward);
    assert!(cut.starts_with("HTTP/1.1 200 ") && cut.ends_with("\r\n\r\n{\"pa"), "{cut}");
    fault(json!({"corrupt": true}));
    let changed = Call::pay("changed").send(onceward.address);
    assert_eq!(changed.text(), r#"{"paid":true,"call":4}"#);
    fault(json!({"lose": true}));
    let lost = Call::pay("lost").begin(onceward.address);
    // It is the payment's own answer that is lost, and none of the duplicates' below.
    until("its answer is lost", || onceward.fired("f") == 1);
    drop(lost);
    for (key, call) in [("reset", 1), ("cut", 2), ("changed", 3), ("lost", 4)] {
        let mut again = Call::pay(key).send(onceward.address);
        until("it is settled", || {
            again = Call::pay(key).send(onceward.address);
            again.status == 200
        });
        assert_eq!((again.is_replay(), again.json()["call"].as_u64()), (true, Some(call)));
    }
    assert_eq!(upstream.calls(), 4);
}

#[test]
fn what_is_not_protected_is_struck_at_its_answer_alone() {
    let (_redis, upstream, onceward) = play();
    onceward.fault("a", json!({"at": "request", "do": {"status": 418}}));
    onceward.fault("b", json!({"at": "upstream_request", "do": {"status": 418}}));
    let passed = Call::get("/goods").send(onceward.address);
    assert_eq!((passed.status, passed.header("onceward-fault")), (200, None));
    onceward.fault("c", json!({"at": "response", "do": {"corrupt": true}}));
    let changed = Call::get("/goods").send(onceward.address);
    assert_eq!((changed.json()["call"].as_u64(), upstream.calls()), (Some(3), 2));
}

#[test]
fn it_crashes_where_it_stands_and_drains_when_told_to() {
    for at in ["request", "upstream_request", "upstream_response", "response"] {
        let (redis, upstream) = (Redis::start(), Upstream::start());
        let mut onceward = playing(&redis, &upstream).set("LOCK_TTL", "2s").start();
        onceward.fault("f", json!({"at": at, "do": {"crash": true}}));
        assert_eq!(Call::pay("1").try_send(onceward.address), None::<Reply>, "{at}");
        // abort(3): SIGABRT, whatever was going on.
        assert_eq!(onceward.ended().signal(), Some(6), "{at}");
        let calls = usize::from(at != "request" && at != "upstream_request");
        assert_eq!(upstream.calls(), calls, "{at}");
        let next = playing(&redis, &upstream).set("LOCK_TTL", "2s").start();
        let mut reply = Call::pay("1").send(next.address);
        until("its lease is gone", || {
            reply = Call::pay("1").send(next.address);
            reply.problem() != "in-progress"
        });
        let (status, calls) = match at {
            "request" => (200, 1),
            "upstream_request" => (409, 0),
            "upstream_response" => (409, 1),
            _ => (200, 1),
        };
        assert_eq!((reply.status, upstream.calls()), (status, calls), "{at}");
    }
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let mut onceward = playing(&redis, &upstream).start();
    onceward.fault("f", json!({"at": "upstream_response", "do": {"stop": true}}));
    assert_eq!(Call::pay("1").send(onceward.address).status, 200);
    assert!(onceward.ended().success());
}
