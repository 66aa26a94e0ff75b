//! Unknown outcomes are asked about until they are known, and cancelled when they never are.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::until;
use crate::support::upstream::{Act, Gate, Request, Upstream};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The route of these tests: asked soon, cancelled late unless a test says otherwise.
pub fn routes(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut route = json!({
        "name": "pay", "path": "/pay", "methods": ["POST"], "duplicate_wait": "0s",
        "lock_ttl": "3s", "query_interval": "300ms", "settle_delay": "0s",
        "cancel_interval": "300ms", "resolve_deadline": "60s",
        "outcome": [{"at": "json:/status", "in": ["paying"], "means": "unknown"}],
        "query": {"method": "GET", "path": "/result?id={key}", "outcome": [
            {"status": [404], "means": "absent"},
            {"status": [200], "at": "json:/status", "in": ["paid"], "means": "succeeded"},
            {"status": [200], "at": "json:/status", "in": ["declined"], "means": "failed"},
            {"status": [200], "at": "json:/status", "in": ["paying"], "means": "unknown"}
        ]},
        "cancel": {"method": "POST", "path": "/cancel", "json": {"id": "{key}"}, "outcome": [
            {"status": [200], "means": "cancelled"},
            {"status": [409], "means": "succeeded"}
        ]},
    });
    change(&mut route);
    json!([route]).to_string()
}

pub fn asking(redis: &Redis, upstream: &Upstream) -> Builder {
    sidecar(redis, upstream).set("ROUTES", &routes(|_| {}))
}

fn is(request: &Request, path: &str) -> bool {
    request.target.split('?').next() == Some(path)
}

/// The requests that went to a path.
pub fn to(upstream: &Upstream, path: &str) -> Vec<Request> {
    upstream.requests().into_iter().filter(|request| is(request, path)).collect()
}

/// Pays as `pay` says and answers queries as `query` does.
pub fn answering(
    pay: impl Fn() -> Act + Send + Sync + 'static,
    query: impl Fn(usize) -> Act + Send + Sync + 'static,
) -> Upstream {
    let asked = AtomicUsize::new(0);
    Upstream::acting(move |_, request| match request.target.split('?').next() {
        Some("/pay") => pay(),
        Some("/result") => query(asked.fetch_add(1, Ordering::SeqCst) + 1),
        _ => Act::ok("{}"),
    })
}

/// Where an order stands, as an operator sees it.
pub fn state(onceward: &Sidecar, key: &str) -> String {
    let order = Call::get(&format!("/admin/orders/pay/{key}")).send(onceward.admin);
    if order.status == 404 {
        return "none".into();
    }
    order.json()["state"].as_str().unwrap().to_owned()
}

pub fn until_state(onceward: &Sidecar, key: &str, wanted: &str) {
    until(&format!("order {key} is {wanted}"), || state(onceward, key) == wanted);
}

fn pay(onceward: &Sidecar, key: &str) -> Reply {
    Call::pay(key).send(onceward.address)
}

fn resolutions(onceward: &Sidecar, result: &str) -> f64 {
    onceward.metric(&format!(r#"onceward_resolutions_total{{result="{result}"}}"#))
}

#[test]
fn an_order_whose_holder_was_killed_is_asked_about_and_ends() {
    let redis = Redis::start();
    let upstream = answering(|| Act::Silence, |_| Act::ok(r#"{"status":"paid","no":1}"#));
    let (mut a, b) = (asking(&redis, &upstream).start(), asking(&redis, &upstream).start());
    let cut = Call::pay("k/1").begin(a.address);
    upstream.heard(1);
    a.kill();
    drop(cut);
    until_state(&b, "k%2F1", "succeeded");
    let again = pay(&b, "k/1");
    assert_eq!((again.status, again.state(), again.is_replay()), (200, "succeeded", true));
    assert_eq!(again.text(), r#"{"status":"paid","no":1}"#);
    assert_eq!(to(&upstream, "/pay").len(), 1);
    let asked = &to(&upstream, "/result")[0];
    assert_eq!(asked.target, "/result?id=k%2F1");
    assert_eq!((asked.header("idempotency-key"), asked.header("onceward-fence")), (None, None));
    assert!(b.metric("onceward_lost_leases_total") >= 1.0);
}

#[test]
fn an_order_whose_key_would_lead_the_query_elsewhere_is_held_and_not_asked_about() {
    let redis = Redis::start();
    let upstream = answering(|| Act::Reset, |_| Act::status(404, "{}"));
    let walking = routes(|route| route["query"]["path"] = "/result/{key}".into());
    let onceward = sidecar(&redis, &upstream).set("ROUTES", &walking).start();
    for (n, key) in ["..", ".", "a/../1"].into_iter().enumerate() {
        assert_eq!(pay(&onceward, key).state(), "unknown");
        until("its turn came", || resolutions(&onceward, "unanswered") > n as f64);
        assert_eq!(pay(&onceward, key).problem(), "outcome-unknown");
    }
    onceward.logs("could be read as another path");
    assert_eq!((to(&upstream, "/pay").len(), upstream.calls()), (3, 3));
}

#[test]
fn still_paying_is_what_duplicates_see_until_the_query_knows_better() {
    let redis = Redis::start();
    let known = Arc::new(AtomicBool::new(false));
    let knows = known.clone();
    let upstream = answering(
        || Act::ok(r#"{"status":"paying"}"#),
        move |_| match knows.load(Ordering::SeqCst) {
            false => Act::ok(r#"{"status":"paying"}"#),
            true => Act::ok(r#"{"status":"paid","by":"query"}"#),
        },
    );
    let onceward = asking(&redis, &upstream).start();
    let first = pay(&onceward, "1");
    assert_eq!((first.status, first.state()), (200, "unknown"));
    until("it was asked about twice", || resolutions(&onceward, "pending") >= 2.0);
    let meanwhile = pay(&onceward, "1");
    assert_eq!((meanwhile.text(), meanwhile.state()), (first.text(), "unknown"));
    assert!(meanwhile.is_replay());
    known.store(true, Ordering::SeqCst);
    until_state(&onceward, "1", "succeeded");
    let after = pay(&onceward, "1");
    assert_eq!(
        (after.text().as_str(), after.state()),
        (r#"{"status":"paid","by":"query"}"#, "succeeded")
    );
    assert_eq!(to(&upstream, "/pay").len(), 1);
}

#[test]
fn the_first_query_comes_a_query_interval_after_and_the_next_ones_later_and_later() {
    let redis = Redis::start();
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = times.clone();
    let upstream = answering(
        || Act::ok(r#"{"status":"paying"}"#),
        move |_| {
            noted.lock().unwrap().push(Instant::now());
            Act::ok(r#"{"status":"paying"}"#)
        },
    );
    // A survey without this command sees nothing: it is not what has it asked.
    assert!(include_str!("../lua/survey.lua").contains("'ZINTERCARD'"));
    redis.command(&["ACL", "SETUSER", "blind", "on", "nopass", "~*", "&*", "+@all", "-zintercard"]);
    let blind = redis.url().replace("redis://", "redis://blind:x@");
    let onceward = asking(&redis, &upstream).set("REDIS_URL", &blind).start();
    let paid = Instant::now();
    pay(&onceward, "1");
    until("it was asked about four times", || times.lock().unwrap().len() >= 4);
    let times = times.lock().unwrap().clone();
    assert!(times[0] - paid >= Duration::from_millis(300));
    // 300 ms, then turns of 300, 450 and 675 ms at the least.
    let fourth = times[3] - paid;
    assert!(fourth >= Duration::from_millis(1700), "{fourth:?}");
}

#[test]
fn on_unknown_retry_lets_the_next_duplicate_run_under_a_higher_fence_and_counts_it() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|call, _| match call {
        1 => Act::Reset,
        _ => Act::ok("paid"),
    });
    let onceward = sidecar(&redis, &upstream).set("ON_UNKNOWN", "retry").start();
    assert_eq!(pay(&onceward, "1").state(), "unknown");
    let second = pay(&onceward, "1");
    assert_eq!((second.status, second.state(), second.is_replay()), (200, "succeeded", false));
    assert_eq!(onceward.metric("onceward_permitted_reruns_total"), 1.0);
    let fences: Vec<_> = upstream.requests();
    let fences: Vec<_> = fences.iter().map(|request| request.header("onceward-fence")).collect();
    assert_eq!(fences, [Some("1"), Some("2")]);
    assert!(pay(&onceward, "1").is_replay());
}

#[test]
fn on_unknown_retry_runs_no_copy_that_waited_for_the_attempt() {
    const COPIES: u8 = 6;
    let gates = [Gate::default(), Gate::default()];
    let held = gates.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |call, _| match call {
        1 => Act::status(500, "boom").behind(&held[0]),
        _ => Act::ok("paid").behind(&held[1]),
    });
    let build = sidecar(&redis, &upstream)
        .set("ON_UNKNOWN", "retry")
        .set("DUPLICATE_WAIT", "60s")
        .set("UPSTREAM_TIMEOUT", "60s")
        .set("LOCK_TTL", "60s");
    let both = [build.start(), build.start()];
    let waiting = || both.iter().map(|one| one.metric("onceward_waiters")).sum::<f64>();
    let copies = || {
        let copy = |at: u8| Call::pay("1").spawn(both[usize::from(at % 2)].address);
        (0..COPIES).map(copy).collect::<Vec<_>>()
    };
    let told = |copies: Vec<std::thread::JoinHandle<Reply>>| {
        let mut told = copies.into_iter().map(|copy| copy.join().unwrap()).collect::<Vec<_>>();
        told.sort_by_key(Reply::is_replay);
        told.into_iter().map(|r| (r.status, r.state().to_owned(), r.is_replay())).collect()
    };
    let one_runs = |status: u16, state: &str| -> Vec<_> {
        (0..COPIES).map(|at| (status, state.to_owned(), at > 0)).collect()
    };

    let burst = copies();
    until("the others wait", || waiting() == f64::from(COPIES - 1));
    gates[0].open();
    let all: Vec<_> = told(burst);
    assert_eq!(all, one_runs(500, "unknown"));
    assert_eq!(upstream.calls(), 1);

    // Of those that come now, one runs; the others get what becomes of it.
    let burst = copies();
    until("the others wait", || waiting() == f64::from(COPIES - 1));
    gates[1].open();
    let all: Vec<_> = told(burst);
    assert_eq!(all, one_runs(200, "succeeded"));
    assert_eq!(upstream.calls(), 2);
    let permitted = both.iter().map(|one| one.metric("onceward_permitted_reruns_total"));
    assert_eq!(permitted.sum::<f64>(), 1.0);
}

#[test]
fn on_unknown_retry_runs_no_copy_that_waited_while_the_lease_ran_out() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|call, _| match call {
        1 => Act::Silence,
        _ => Act::ok("paid"),
    });
    let build = sidecar(&redis, &upstream)
        .set("ON_UNKNOWN", "retry")
        .set("DUPLICATE_WAIT", "12s")
        .set("LOCK_TTL", "2s");
    let (mut a, b) = (build.start(), build.start());
    let cut = Call::pay("1").begin(a.address);
    upstream.heard(1);
    let copies: Vec<_> = (0..3).map(|_| Call::pay("1").spawn(b.address)).collect();
    until("they wait", || b.metric("onceward_waiters") == 3.0);
    a.kill();
    drop(cut);
    for copy in copies {
        let told = copy.join().unwrap();
        assert_eq!((told.status, told.problem().as_str()), (409, "outcome-unknown"));
        assert_eq!(told.state(), "unknown");
        assert!(told.header("retry-after").is_some());
    }
    assert_eq!(upstream.calls(), 1);
    assert_eq!(pay(&b, "1").text(), "paid");
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn a_route_may_name_its_first_query_and_its_presets_hold_in_redis() {
    let redis = Redis::start();
    let paying = r#"{"alipay_trade_pay_response":{"code":"10003"}}"#;
    let upstream = answering(move || Act::ok(paying), |_| Act::ok("{}"));
    let barcode = routes(|route| {
        let route = route.as_object_mut().unwrap();
        for field in ["outcome", "query_interval", "resolve_deadline", "cancel_interval"] {
            route.remove(field);
        }
        route.insert("preset".into(), "alipay-barcode".into());
    });
    let onceward = asking(&redis, &upstream).set("ROUTES", &barcode).start();
    assert_eq!(pay(&onceward, "1").state(), "unknown");
    let score = |kind: &str| -> u64 {
        let index = redis.command(&["KEYS", &format!("*:{kind}:all")]);
        let with_score = redis.command(&["ZRANGE", &index, "0", "0", "WITHSCORES"]);
        with_score.lines().last().unwrap().parse().unwrap()
    };
    assert_eq!(score("due") - score("unknown"), 5000);
}

#[test]
fn a_cancel_call_waits_until_its_payment_is_old_enough() {
    const DELAY: Duration = Duration::from_millis(1500);
    let redis = Redis::start();
    let heard: Arc<Mutex<Vec<(String, Instant)>>> = Arc::default();
    let noted = heard.clone();
    let upstream = Upstream::acting(move |_, request| {
        noted.lock().unwrap().push((request.target.clone(), Instant::now()));
        match is(request, "/cancel") {
            true => Act::ok("{}"),
            false => Act::Reset,
        }
    });
    let young = routes(|route| {
        route["cancel_delay"] = "1500ms".into();
        route["cancel_interval"] = "10ms".into();
    });
    let onceward = asking(&redis, &upstream).set("ROUTES", &young).start();
    let begun = Instant::now();
    pay(&onceward, "1");
    let cancel = Call::post("/_onceward/orders/pay/1/cancel").send(onceward.address);
    assert_eq!((cancel.status, cancel.state()), (202, "cancelling"));
    until_state(&onceward, "1", "cancelled");
    let heard = heard.lock().unwrap();
    let at = |path: &str| heard.iter().find(|(target, _)| target == path).unwrap().1;
    // The claim is no older than that.
    assert!(at("/cancel") - begun >= DELAY, "{heard:?}");
}

#[test]
fn a_declined_payment_is_known_as_failed_from_its_query() {
    let redis = Redis::start();
    let upstream = answering(|| Act::Reset, |_| Act::ok(r#"{"status":"declined"}"#));
    let onceward = asking(&redis, &upstream).start();
    assert_eq!(pay(&onceward, "1").status, 502);
    until_state(&onceward, "1", "failed");
    let again = pay(&onceward, "1");
    assert_eq!((again.state(), again.text().as_str()), ("failed", r#"{"status":"declined"}"#));
}

#[test]
fn absent_is_believed_only_a_settle_delay_after_the_attempt() {
    let redis = Redis::start();
    let first = AtomicBool::new(true);
    let upstream = answering(
        move || match first.swap(false, Ordering::SeqCst) {
            true => Act::Reset,
            false => Act::ok(r#"{"status":"paid"}"#),
        },
        |_| Act::status(404, "{}"),
    );
    let early = routes(|route| route["settle_delay"] = "5s".into());
    let onceward = asking(&redis, &upstream).set("ROUTES", &early).start();
    let started = Instant::now();
    pay(&onceward, "1");
    until("it was absent too early", || resolutions(&onceward, "absent-early") >= 1.0);
    until("it was believed", || resolutions(&onceward, "absent") == 1.0);
    assert!(started.elapsed() >= Duration::from_secs(5));
    assert_eq!(onceward.metric("onceward_permitted_reruns_total"), 1.0);
    let again = pay(&onceward, "1");
    assert_eq!((again.status, again.state(), again.is_replay()), (200, "succeeded", false));
    let paid = to(&upstream, "/pay");
    assert_eq!(paid.len(), 2);
    assert_eq!(paid[1].header("onceward-fence"), Some("2"));
}

#[test]
fn an_order_not_resolved_in_time_is_cancelled_and_its_duplicates_are_told() {
    let redis = Redis::start();
    let lost = AtomicBool::new(true);
    let upstream = Upstream::acting(move |_, request| {
        match request.target.split('?').next() {
            // The reply to the first cancel call is lost.
            Some("/cancel") if lost.swap(false, Ordering::SeqCst) => Act::Reset,
            Some("/cancel") => Act::ok("{}"),
            _ => Act::ok(r#"{"status":"paying"}"#),
        }
    });
    let soon = routes(|route| route["resolve_deadline"] = "1s".into());
    let onceward = asking(&redis, &upstream).set("ROUTES", &soon).start();
    pay(&onceward, "1");
    until_state(&onceward, "1", "cancelled");
    let refused = pay(&onceward, "1");
    assert_eq!((refused.status, refused.problem().as_str()), (409, "order-cancelled"));
    let cancels = to(&upstream, "/cancel");
    assert!(cancels.len() >= 2);
    assert!(cancels.iter().all(|cancel| cancel.body == br#"{"id":"1"}"#));
    assert_eq!(to(&upstream, "/pay").len(), 1);
    onceward.counts(r#"onceward_cancels_total{result="cancelled"}"#, 1.0);
}

#[test]
fn an_order_that_can_not_be_cancelled_succeeded_and_somebody_is_called() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match is(request, "/cancel") {
        true => Act::status(409, "{}"),
        false => Act::ok(r#"{"status":"paying"}"#),
    });
    let soon = routes(|route| route["resolve_deadline"] = "500ms".into());
    let onceward = asking(&redis, &upstream).set("ROUTES", &soon).start();
    pay(&onceward, "1");
    until_state(&onceward, "1", "succeeded");
    onceward.counts(r#"onceward_alarms_total{kind="not-cancellable"}"#, 1.0);
    let again = pay(&onceward, "1");
    assert_eq!((again.status, again.json()["state"].as_str()), (200, Some("succeeded")));
}

#[test]
fn without_a_cancel_call_an_unknown_order_stays_so_and_keeps_being_asked_about() {
    let redis = Redis::start();
    let upstream = answering(|| Act::Reset, |_| Act::ok(r#"{"status":"paying"}"#));
    let never = routes(|route| {
        route["resolve_deadline"] = "400ms".into();
        route.as_object_mut().unwrap().remove("cancel");
    });
    let onceward = asking(&redis, &upstream).set("ROUTES", &never).start();
    let started = Instant::now();
    pay(&onceward, "1");
    until("it is asked about after its deadline", || {
        started.elapsed() > Duration::from_millis(600) && resolutions(&onceward, "pending") >= 3.0
    });
    assert_eq!(state(&onceward, "1"), "unknown");
}

#[test]
fn errors_and_garbage_settle_nothing() {
    let redis = Redis::start();
    let upstream = answering(
        || Act::Reset,
        |asked| match asked {
            1 => Act::status(500, r#"{"status":"paid"}"#),
            2 => Act::ok("not JSON"),
            3 => Act::Reset,
            4 => Act::Bytes(
                b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"status\":\"pa".to_vec(),
            ),
            5 => Act::ok(r#"{"status":"paid","status":"declined"}"#),
            _ => Act::ok(r#"{"status":"paid"}"#),
        },
    );
    let onceward = asking(&redis, &upstream).start();
    pay(&onceward, "1");
    until("five answers meant nothing", || {
        resolutions(&onceward, "unclear") + resolutions(&onceward, "unanswered") >= 5.0
    });
    until_state(&onceward, "1", "succeeded");
    // An answer that comes after its turn is none: of the three that say nothing some may be late.
    assert!(resolutions(&onceward, "unclear") >= 1.0);
    assert!(resolutions(&onceward, "unanswered") >= 2.0);
    onceward.counts(r#"onceward_resolutions_total{result="succeeded"}"#, 1.0);
}

#[test]
fn two_replicas_never_ask_about_one_order_at_once() {
    let redis = Redis::start();
    let (inside, overlapped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (within, both) = (inside.clone(), overlapped.clone());
    let upstream = answering(
        || Act::ok(r#"{"status":"paying"}"#),
        move |_| {
            if within.fetch_add(1, Ordering::SeqCst) > 0 {
                both.store(true, Ordering::SeqCst);
            }
            std::thread::sleep(Duration::from_millis(20));
            within.fetch_sub(1, Ordering::SeqCst);
            Act::ok(r#"{"status":"paying"}"#)
        },
    );
    let slow = routes(|route| {
        route["query_interval"] = "1500ms".into();
        route["query_backoff"] = false.into();
    });
    let build = asking(&redis, &upstream).set("ROUTES", &slow);
    let (a, b) = (build.start(), build.start());
    pay(&a, "1");
    // Both find it in their look around; the index in Redis decides who asks.
    until("it was asked about four times", || to(&upstream, "/result").len() >= 4);
    let asked = resolutions(&a, "pending") + resolutions(&b, "pending");
    assert!(asked >= 3.0 && !overlapped.load(Ordering::SeqCst));
}

#[test]
fn two_hundred_unknown_orders_are_resolved_over_few_connections() {
    let redis = Redis::start();
    let open = Arc::new(AtomicBool::new(false));
    let known = open.clone();
    let upstream = answering(
        || Act::ok(r#"{"status":"paying"}"#),
        move |_| match known.load(Ordering::SeqCst) {
            true => Act::ok(r#"{"status":"paid"}"#),
            false => Act::ok(r#"{"status":"paying"}"#),
        },
    );
    let calmly = routes(|route| route["query_interval"] = "1s".into());
    let onceward = asking(&redis, &upstream).set("ROUTES", &calmly).start();
    pay(&onceward, "warm");
    let before = memory(&onceward);
    for n in 0..200 {
        assert_eq!(pay(&onceward, &n.to_string()).state(), "unknown");
    }
    let connected = upstream.connections();
    until("each was asked about", || resolutions(&onceward, "pending") >= 400.0);
    open.store(true, Ordering::SeqCst);
    until("all of them are known", || resolutions(&onceward, "succeeded") >= 201.0);
    assert_eq!(to(&upstream, "/pay").len(), 201);
    let grown = memory(&onceward).saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB");
    // At most so many calls run at once; idle connections are used again.
    let made = upstream.connections() - connected;
    assert!(made < 300, "{made}");
    assert_eq!(pay(&onceward, "77").text(), r#"{"status":"paid"}"#);
}

/// Resident memory in KiB.
fn memory(onceward: &Sidecar) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", onceward.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// It was tried often enough: that upstream knows no such order does not bring it back.
#[test]
fn a_dead_letter_is_cancelled_in_time_and_not_queued_again() {
    let redis = Redis::start();
    let upstream = answering(|| Act::status(429, "{}"), |_| Act::status(404, "{}"));
    let queued = routes(|route| {
        route["mode"] = "async".into();
        route["resolve_deadline"] = "3s".into();
    });
    let build = asking(&redis, &upstream).set("ROUTES", &queued).set("QUEUE_RETRY", "1ms");
    let onceward = build.start();
    assert_eq!(pay(&onceward, "1").status, 202);
    until_state(&onceward, "1", "cancelled");
    assert_eq!(to(&upstream, "/pay").len(), 10);
    assert!(resolutions(&onceward, "dead") >= 1.0);
    assert_eq!(onceward.metric("onceward_alarms_total{kind=\"dead-letter\"}"), 1.0);
    assert!(redis.command(&["KEYS", "*:request:*"]).is_empty());
}
