//! Whose turn it is to ask about an order: one replica's at a time, for as long as the call takes, and
//! of those that can make it.

use crate::resolve::{answering, asking, routes, state, to, until_state};
use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::upstream::{Act, Upstream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// Longer than a turn is held at a time.
const SLOW: Duration = Duration::from_secs(4);

#[test]
fn a_query_slower_than_its_interval_is_heard_and_nobody_else_asks_meanwhile() {
    let redis = Redis::start();
    let (inside, overlapped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (within, both) = (inside.clone(), overlapped.clone());
    let upstream = answering(
        || Act::Reset,
        move |_| {
            if within.fetch_add(1, Ordering::SeqCst) > 0 {
                both.store(true, Ordering::SeqCst);
            }
            std::thread::sleep(SLOW);
            within.fetch_sub(1, Ordering::SeqCst);
            Act::ok(r#"{"status":"paid"}"#)
        },
    );
    let steady = routes(|route| {
        route["query_interval"] = "600ms".into();
        route["query_backoff"] = false.into();
    });
    let build = asking(&redis, &upstream).set("ROUTES", &steady);
    let (a, _b) = (build.start(), build.start());
    assert_eq!(Call::pay("1").send(a.address).state(), "unknown");
    until_state(&a, "1", "succeeded");
    assert!(!overlapped.load(Ordering::SeqCst));
    assert!(to(&upstream, "/cancel").is_empty());
}

#[test]
fn a_cancel_slower_than_its_interval_is_heard() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/cancel" => Act::ok("{}").after(Duration::from_secs(1)),
        _ => Act::Reset,
    });
    let soon = routes(|route| route["resolve_deadline"] = "300ms".into());
    let onceward = asking(&redis, &upstream).set("ROUTES", &soon).start();
    assert_eq!(Call::pay("1").send(onceward.address).state(), "unknown");
    until_state(&onceward, "1", "cancelled");
}

#[test]
fn who_lacks_a_route_or_its_query_leaves_its_orders_to_others_and_takes_them_once_it_has_them() {
    let redis = Redis::start();
    let known = Arc::new(AtomicBool::new(false));
    let knows = known.clone();
    let upstream = answering(
        || Act::Reset,
        move |_| match knows.load(Ordering::SeqCst) {
            false => Act::ok(r#"{"status":"paying"}"#),
            true => Act::ok(r#"{"status":"paid"}"#),
        },
    );
    let mut able = asking(&redis, &upstream).start();
    assert_eq!(Call::pay("1").send(able.address).state(), "unknown");
    able.kill();
    known.store(true, Ordering::SeqCst);
    let asked = to(&upstream, "/result").len();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.json");
    let poor = routes(|route| {
        let route = route.as_object_mut().unwrap();
        route.retain(|field, _| !["query", "cancel", "resolve_deadline"].contains(&field.as_str()));
    });
    std::fs::write(&file, &poor).unwrap();
    let other = r#"[{"name":"other","path":"/other"}]"#;
    let strangers = [file.to_str().unwrap(), other].map(|routes| {
        let onceward = asking(&redis, &upstream).set("ROUTES", routes).start();
        until("it has looked around", || {
            onceward.metric(r#"onceward_orders{state="unknown"}"#) >= 1.0
        });
        onceward
    });
    // For longer than a look around takes: both have met it, and left it as it is.
    until("the order has been due for a while", || {
        let order = Call::get("/admin/orders/pay/1").send(strangers[0].admin).json();
        let due = humantime::parse_rfc3339(order["next_ask_at"].as_str().unwrap()).unwrap();
        due + Duration::from_secs(6) < SystemTime::now()
    });
    assert_eq!(
        (state(&strangers[1], "1"), to(&upstream, "/result").len()),
        ("unknown".into(), asked)
    );
    std::fs::write(&file, routes(|_| {})).unwrap();
    until_state(&strangers[1], "1", "succeeded");
}
