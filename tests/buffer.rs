//! The payment buffer: what was accepted is sent once, whatever dies along the way.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, sidecar};
use crate::support::upstream::{Act, Gate, Upstream};
use crate::support::{Refusing, until};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn routes(mode: &str) -> String {
    format!(r#"[{{"name":"pay","path":"/pay","mode":"{mode}"}}]"#)
}

fn buffered(redis: &Redis, upstream: &Upstream) -> Builder {
    sidecar(redis, upstream).set("ROUTES", &routes("async")).set("QUEUE_RETRY", "1ms")
}

/// The answer of an acceptance, held to all it promises.
#[track_caller]
fn accepted(reply: &Reply) -> String {
    assert_eq!(reply.status, 202, "{}", reply.text());
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(!reply.is_replay());
    let document = reply.json();
    assert_eq!(document["state"], reply.state());
    assert_eq!(document["route"], "pay");
    reply.header("location").expect("a Location").to_owned()
}

fn look(place: &str, at: SocketAddr) -> Reply {
    Call::get(place).header("Prefer", "wait=1").send(at)
}

/// Looks at a place until the order there is in that state.
#[track_caller]
fn becomes(place: &str, state: &str, at: SocketAddr) -> Reply {
    let mut last = None;
    until(&format!("{place} is {state}"), || {
        let reply = look(place, at);
        let there = reply.state() == state;
        last = Some(reply);
        there
    });
    last.expect("looked at")
}

#[test]
fn an_accepted_order_is_sent_and_its_place_tells_the_answer() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("paid").behind(&held));
    let onceward = buffered(&redis, &upstream).start();
    let call = Call::pay("a/b 1".replace(' ', "-").as_str()).header("Authorization", "Bearer x");
    let reply = call.send(onceward.address);
    let place = accepted(&reply);
    assert_eq!((reply.state(), place.as_str()), ("queued", "/_onceward/orders/pay/a%2Fb-1"));
    assert_eq!(reply.header("preference-applied"), None);
    upstream.heard(1);
    // In flight: the same answer.
    let again = call.send(onceward.address);
    assert_eq!((accepted(&again), again.state()), (place.clone(), "in_flight"));
    gate.open();
    let seen = || Call::get(&place).header("Authorization", "Bearer x").send(onceward.address);
    until("it is final", || seen().state() == "succeeded");
    assert_eq!(seen().json()["response"]["body"], "paid");
    let replay = call.send(onceward.address);
    assert_eq!((replay.status, replay.text().as_str(), replay.is_replay()), (200, "paid", true));
    assert_eq!(upstream.calls(), 1);
    let sent = &upstream.requests()[0];
    assert_eq!(sent.header("authorization"), Some("Bearer x"));
    assert_eq!(
        (sent.header("idempotency-key"), sent.header("onceward-fence")),
        (Some("a/b-1"), Some("1"))
    );
    assert!(sent.header("x-forwarded-for").is_some());
    until("nothing of it is left in the buffer", || {
        let names = redis.command(&["KEYS", "*"]);
        !names.contains(":stream:") && !names.contains(":request:")
    });
}

#[test]
fn a_caller_who_would_rather_wait_is_told_where_a_queued_order_is() {
    let (redis, port) = (Redis::start(), Refusing::bind());
    let nobody = Upstream::start();
    let onceward = buffered(&redis, &nobody)
        .set("ROUTES", &routes("either"))
        .set("UPSTREAM", &port.url())
        .set("QUEUE_RETRY", "60s")
        .start();
    let queued = Call::pay("1").header("Prefer", "respond-async").send(onceward.address);
    let place = accepted(&queued);
    until("it was tried", || {
        onceward.metric("onceward_dispatched_total{result=\"retried\"}") >= 1.0
    });
    let sync = Call::pay("1").send(onceward.address);
    assert_eq!((accepted(&sync), sync.state()), (place, "queued"));
    assert_eq!(sync.header("preference-applied"), None);
    until("it is counted", || onceward.metric("onceward_queue_depth") >= 1.0);
}

#[test]
fn a_key_with_another_payload_or_caller_is_refused_while_it_is_queued() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Silence));
    let onceward = buffered(&redis, &upstream).start();
    let place = accepted(&Call::pay("1").send(onceward.address));
    for call in
        [Call::post("/pay").key("1").json("{}"), Call::pay("1").header("Authorization", "x")]
    {
        let reply = call.send(onceward.address);
        assert_eq!((reply.status, reply.problem().as_str()), (422, "payload-mismatch"));
    }
    assert_eq!(Call::get(&place).header("Authorization", "x").send(onceward.address).status, 404);
}

#[test]
fn of_64_copies_over_two_sidecars_one_is_sent() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let sidecars = [(); 2].map(|()| buffered(&redis, &upstream).start());
    let calls: Vec<_> = (0..64).map(|n| Call::pay("1").spawn(sidecars[n % 2].address)).collect();
    for call in calls {
        let reply = call.join().expect("an answer");
        assert!(reply.status == 202 || (reply.status == 200 && reply.is_replay()));
    }
    becomes("/_onceward/orders/pay/1", "succeeded", sidecars[0].address);
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn either_is_as_the_caller_prefers() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("ROUTES", &routes("either")).start();
    let sync = Call::pay("1").send(onceward.address);
    assert_eq!((sync.status, sync.state()), (200, "succeeded"));
    let wish = Call::pay("2").header("Prefer", "handling=strict, Respond-Async; wait=5");
    let reply = wish.send(onceward.address);
    assert_eq!(reply.header("preference-applied"), Some("respond-async"));
    becomes(&accepted(&reply), "succeeded", onceward.address);
    // A final one is replayed to both, and no preference was applied then.
    for call in [Call::pay("2"), wish] {
        let replay = call.send(onceward.address);
        assert_eq!((replay.status, replay.is_replay()), (200, true));
        assert_eq!(replay.header("preference-applied"), None);
    }
    assert_eq!(upstream.requests()[1].header("prefer"), Some("handling=strict"));
    // Where there is no buffer the wish is upstream's business.
    let onceward = sidecar(&redis, &upstream).set("ROUTES", &routes("sync")).start();
    let sync = Call::pay("3").header("Prefer", "respond-async").send(onceward.address);
    assert_eq!((sync.status, sync.header("preference-applied")), (200, None));
    assert_eq!(upstream.calls(), 3);
}

#[test]
fn an_order_whose_hint_was_lost_is_found_by_the_survey() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    redis.command(&["ACL", "SETUSER", "deaf", "on", "nopass", "~*", "&*", "+@all", "-subscribe"]);
    let url = redis.url().replace("redis://", "redis://deaf:x@");
    let onceward = buffered(&redis, &upstream).set("REDIS_URL", &url).start();
    let place = accepted(&Call::pay("1").send(onceward.address));
    becomes(&place, "succeeded", onceward.address);
}

#[test]
fn a_refused_order_goes_back_and_is_sent_when_upstream_is_there() {
    let (redis, port) = (Redis::start(), Refusing::bind());
    let nobody = Upstream::start();
    let onceward =
        buffered(&redis, &nobody).set("UPSTREAM", &port.url()).set("QUEUE_RETRY", "300ms").start();
    let place = accepted(&Call::pay("1").send(onceward.address));
    until("it was tried", || {
        onceward.metric("onceward_dispatched_total{result=\"retried\"}") >= 1.0
    });
    assert_eq!(look(&place, onceward.address).state(), "queued");
    accepted(&Call::pay("1").send(onceward.address));
    let upstream = Upstream::on(port.listen(), |_, _| Act::ok("paid"));
    becomes(&place, "succeeded", onceward.address);
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn an_order_that_is_declined_ten_times_is_a_dead_letter() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| Act::status(429, "{}"));
    let onceward = buffered(&redis, &upstream).start();
    let place = accepted(&Call::pay("1").send(onceward.address));
    becomes(&place, "unknown", onceward.address);
    assert_eq!(upstream.calls(), 10);
    onceward.counts("onceward_dead_letters_total", 1.0);
    onceward.counts("onceward_alarms_total{kind=\"dead-letter\"}", 1.0);
    let told = Call::get("/admin/orders/pay/1").send(onceward.admin).json();
    let why = told["history"].as_array().and_then(|h| h.last()?["why"].as_str()).unwrap_or("");
    assert!(why.starts_with("dead letter: 10 tries"), "{told}");
    assert!(redis.command(&["KEYS", "*:stream:*"]).ends_with(":stream:dead"));
    // It is not run again.
    accepted(&Call::pay("1").send(onceward.address));
    assert_eq!(upstream.calls(), 10);
}

#[test]
fn tries_are_counted_across_replicas_and_restarts() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| Act::status(429, "{}"));
    let builder = buffered(&redis, &upstream).set("LOCK_TTL", "3s");
    let mut first = builder.clone().set("QUEUE_RETRY", "1h").start();
    let place = accepted(&Call::pay("1").send(first.address));
    until("it was tried", || first.metric("onceward_dispatched_total{result=\"retried\"}") == 1.0);
    first.kill();
    let second = builder.start();
    becomes(&place, "unknown", second.address);
    assert_eq!(upstream.calls(), 10);
    second.counts("onceward_dead_letters_total", 1.0);
}

#[test]
fn an_attempt_that_gets_no_answer_is_unknown_and_not_run_again() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| Act::Reset);
    let onceward = buffered(&redis, &upstream).start();
    let place = accepted(&Call::pay("1").send(onceward.address));
    becomes(&place, "unknown", onceward.address);
    assert_eq!(accepted(&Call::pay("1").send(onceward.address)), place);
    until("its entry is gone", || redis.command(&["KEYS", "*:stream:*"]).is_empty());
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn more_than_may_be_queued_are_refused_and_nothing_of_them_stays() {
    let (redis, port) = (Redis::start(), Refusing::bind());
    let nobody = Upstream::start();
    let onceward = buffered(&redis, &nobody)
        .set("UPSTREAM", &port.url())
        .set("QUEUE_RETRY", "60s")
        .set("MAX_QUEUED", "1")
        .start();
    // Each of 64 partitions takes one: of 65 orders one at least is refused.
    let replies: Vec<Reply> =
        (0..65).map(|n| Call::pay(&n.to_string()).send(onceward.address)).collect();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 202).collect();
    assert!(!refused.is_empty());
    for reply in &refused {
        assert_eq!((reply.status, reply.problem().as_str()), (503, "overloaded"));
        assert_eq!((reply.state(), reply.header("retry-after")), ("none", Some("1")));
    }
    let records = redis.command(&["KEYS", "*:order:*"]).lines().count();
    assert_eq!(records, replies.len() - refused.len());
}

#[test]
fn a_token_starts_one_order_in_the_buffer_as_well() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let routes = r#"[{"name":"pay","path":"/pay","mode":"async","token":"required"}]"#;
    let onceward = buffered(&redis, &upstream).set("ROUTES", routes).start();
    let token = Call::post("/_onceward/tokens").json("{}").send(onceward.address).json();
    let token = token["token"].as_str().expect("a token");
    let pay = |key: &str| Call::pay(key).header("Payment-Token", token).send(onceward.address);
    let missing = Call::pay("1").send(onceward.address);
    assert_eq!(missing.problem(), "token-missing");
    let place = accepted(&pay("1"));
    assert_eq!(pay("2").problem(), "token-invalid");
    becomes(&place, "succeeded", onceward.address);
    assert!(pay("1").is_replay());
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn bodies_go_through_byte_for_byte_up_to_the_cap_and_sealed() {
    const CAP: usize = 65_536;
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = buffered(&redis, &upstream)
        .set("SECRET", "a secret of 16 b")
        .set("MAX_REQUEST_BODY", &CAP.to_string())
        .start();
    let watching = redis.monitor();
    let all: Vec<u8> = (0..=255).cycle().take(CAP).collect();
    for (n, body) in [&all[..], b"", b"card 4111111111111111", b"\r\n\0\xff"].iter().enumerate() {
        let call = Call::post("/pay").key(&n.to_string()).body(body);
        accepted(&call.send(onceward.address));
        upstream.heard(n + 1);
        assert!(upstream.requests()[n].body == *body, "body {n}");
    }
    let over = Call::post("/pay").key("over").body(&[&all[..], b"!"].concat());
    assert_eq!(over.send(onceward.address).problem(), "body-too-large");
    assert!(!watching.stop().concat().contains("4111111111111111"));
}

/// Where each order stands in the end, and how often upstream heard of it.
fn tally(
    places: &BTreeMap<String, String>,
    upstream: &Upstream,
    at: SocketAddr,
) -> BTreeMap<String, usize> {
    let mut heard: BTreeMap<String, usize> = BTreeMap::new();
    let mut states = BTreeMap::new();
    for (key, place) in places {
        let mut state = String::new();
        until(&format!("order {key} ends"), || {
            let reply = Call::get(place).send(at);
            state = reply.state().to_owned();
            // A Redis that has just come back may be asked in vain at first.
            assert_ne!(reply.status, 404, "order {key} is lost");
            matches!(state.as_str(), "succeeded" | "failed" | "unknown")
        });
        *states.entry(state).or_default() += 1;
    }
    for request in upstream.requests() {
        *heard.entry(request.header("idempotency-key").unwrap_or("").to_owned()).or_default() += 1;
    }
    for (key, calls) in &heard {
        assert_eq!(*calls, 1, "order {key}");
    }
    let succeeded = states.get("succeeded").copied().unwrap_or(0);
    assert!(heard.len() >= succeeded, "{} of {succeeded}", heard.len());
    states
}

#[test]
fn what_was_accepted_outlives_a_restart_of_redis() {
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("paid").behind(&held));
    let onceward = buffered(&redis, &upstream).set("LOCK_TTL", "2s").start();
    let places: BTreeMap<String, String> = (0..100)
        .map(|n| {
            let key = n.to_string();
            let place = accepted(&Call::pay(&key).send(onceward.address));
            (key, place)
        })
        .collect();
    redis.restart();
    gate.open();
    let states = tally(&places, &upstream, onceward.address);
    assert_eq!(states.values().sum::<usize>(), 100);
}

#[test]
fn a_worker_that_is_told_to_stop_finishes_what_it_sends_and_hands_the_rest_back() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("paid").behind(&held));
    // Far too long to wait until an entry is taken over.
    let builder = buffered(&redis, &upstream).set("LOCK_TTL", "1h");
    let mut onceward = builder.start();
    let places: BTreeMap<String, String> = (0..100)
        .map(|n| (n.to_string(), accepted(&Call::pay(&n.to_string()).send(onceward.address))))
        .collect();
    upstream.heard(64);
    onceward.terminate();
    until("it drains", || {
        Call::get("/readyz").try_send(onceward.admin).is_none_or(|r| r.status == 503)
    });
    assert_eq!(upstream.calls(), 64, "no more than are sent at once");
    gate.open();
    assert!(onceward.ended().success());
    assert_eq!(upstream.calls(), 64, "nothing new was begun");
    let other = builder.start();
    let states = tally(&places, &upstream, other.address);
    assert_eq!(states, BTreeMap::from([("succeeded".to_owned(), 100)]));
}

#[test]
fn an_idle_buffer_leaves_redis_alone() {
    const WINDOW: Duration = Duration::from_secs(3);
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = buffered(&redis, &upstream).start();
    for n in 0..200 {
        accepted(&Call::pay(&n.to_string()).send(onceward.address));
    }
    upstream.heard(200);
    until("the buffer is empty", || redis.command(&["KEYS", "*:stream:*"]).is_empty());
    let watching = redis.monitor();
    std::thread::sleep(WINDOW);
    let commands = watching.stop();
    assert!(commands.len() < 20 * WINDOW.as_secs() as usize, "{commands:#?}");
}

#[test]
fn without_redis_nothing_is_accepted_and_nothing_bypassed_that_may_be_queued() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = buffered(&redis, &upstream)
        .set("REDIS_DOWN", "bypass")
        .set("REDIS_TIMEOUT", "2s")
        // The connection stands, whichever thread is asked: only then may a command be lost.
        .set("REDIS_POOL_SIZE", "1")
        .start();
    Call::pay("1").send(onceward.address);
    upstream.heard(1);
    redis.pause();
    let reply = Call::pay("2").send(onceward.address);
    assert_eq!((reply.status, reply.problem().as_str()), (409, "outcome-unknown"));
    redis.resume();
    upstream.heard(2);
    assert_eq!(upstream.calls(), 2);
    redis.kill();
}

#[test]
fn a_mode_that_does_not_exist_or_fit_is_refused() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    for routes in [
        routes("later"),
        r#"[{"name":"pay","path":"/pay","mode":"async","on_unknown":"retry"}]"#.to_owned(),
    ] {
        let checked =
            sidecar(&redis, &upstream).set("ROUTES", &routes).command().arg("check").output();
        let checked = checked.expect("onceward runs");
        assert_eq!(checked.status.code(), Some(64));
        assert!(String::from_utf8_lossy(&checked.stderr).contains("mode"));
    }
}

/// Who sent it polls and sends nothing again: it would wait for ever.
#[test]
fn an_accepted_order_of_which_upstream_knows_nothing_is_sent_again() {
    let sent = AtomicUsize::new(0);
    let upstream = Upstream::acting(move |_, request| match request.method.as_str() {
        "GET" => Act::status(404, "{}"),
        _ if sent.fetch_add(1, Ordering::SeqCst) == 0 => Act::Reset,
        _ => Act::ok(r#"{"status":"paid"}"#),
    });
    let redis = Redis::start();
    let asking = crate::resolve::routes(|route| route["mode"] = "async".into());
    let onceward = buffered(&redis, &upstream).set("ROUTES", &asking).start();
    let place = accepted(&Call::pay("1").send(onceward.address));
    let paid = becomes(&place, "succeeded", onceward.address);
    assert_eq!(paid.json()["attempts"], 2);
    let payments = crate::resolve::to(&upstream, "/pay");
    let fences: Vec<_> = payments.iter().map(|request| request.header("onceward-fence")).collect();
    assert_eq!(fences, [Some("1"), Some("2")]);
    assert_eq!(onceward.metric("onceward_permitted_reruns_total"), 1.0);
}

/// A rolling update, a canary: not all replicas know a route or a secret yet.
#[test]
fn what_a_replica_lacks_the_route_or_the_secret_of_others_send_and_no_try_is_counted() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let build = buffered(&redis, &upstream).set("SECRET", "a secret of 16 b");
    let able = build.start();
    let without_route = build.clone().set("ROUTES", r#"[{"name":"old","path":"/old"}]"#).start();
    let without_secret = build.clone().set("SECRET", "another of 16 by").start();
    let left = r#"onceward_dispatched_total{result="left"}"#;
    let mut places = Vec::new();
    until("both have met some", || {
        let n = places.len().to_string();
        places.push(accepted(&Call::pay(&n).send(able.address)));
        [&without_route, &without_secret].iter().all(|one| one.metric(left) >= 1.0)
    });
    for place in &places {
        becomes(place, "succeeded", able.address);
    }
    assert_eq!(upstream.calls(), places.len());
    for onceward in [&able, &without_route, &without_secret] {
        assert_eq!(onceward.metric("onceward_dead_letters_total"), 0.0);
        assert_eq!(onceward.metric(r#"onceward_dispatched_total{result="retried"}"#), 0.0);
    }
    for (onceward, why) in [(&without_route, "its route"), (&without_secret, "its request")] {
        let told = onceward.log().lines().filter(|line| line.contains(why)).count();
        assert_eq!(told, 1, "{}", onceward.log());
    }
}

#[test]
fn what_no_replica_can_send_for_a_day_is_a_dead_letter_and_says_why() {
    let (redis, port) = (Redis::start(), Refusing::bind());
    let nobody = Upstream::start();
    let build = buffered(&redis, &nobody).set("UPSTREAM", &port.url());
    let mut able = build.clone().set("QUEUE_RETRY", "1h").start();
    accepted(&Call::pay("1").send(able.address));
    able.kill();
    let queue = redis.command(&["KEYS", "*:stream:queue"]);
    let entry = redis.command(&["XRANGE", &queue, "-", "+"]);
    let id = entry.lines().last().unwrap().to_owned();
    redis.command(&["DEL", &queue]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let made = format!("{}-0", (now - Duration::from_secs(25 * 3600)).as_millis());
    redis.command(&["XGROUP", "CREATE", &queue, "workers", "0", "MKSTREAM"]);
    redis.command(&["XADD", &queue, &made, "id", &id]);
    let onceward = build.set("ROUTES", r#"[{"name":"old","path":"/old"}]"#).start();
    until("it is given up", || onceward.metric("onceward_dead_letters_total") == 1.0);
    let told = Call::get("/admin/orders/pay/1").send(onceward.admin).json();
    let why = told["history"].as_array().and_then(|h| h.last()?["why"].as_str()).unwrap_or("");
    assert_eq!(why, "dead letter: nobody could send it for a day, its route is not known here");
}

#[test]
fn upstream_is_left_alone_for_as_long_as_it_asked_by_every_replica() {
    const ASKED: Duration = Duration::from_secs(4);
    let (redis, times) = (Redis::start(), Arc::new(Mutex::new(Vec::new())));
    let noted = times.clone();
    let upstream = Upstream::acting(move |call, _| {
        noted.lock().unwrap().push(Instant::now());
        match call {
            1 => Act::status(429, "{}").with("Retry-After", "4"),
            _ => Act::ok("paid"),
        }
    });
    // Entries are taken over long before that.
    let build = buffered(&redis, &upstream).set("LOCK_TTL", "1s");
    let (a, _b) = (build.start(), build.start());
    becomes(&accepted(&Call::pay("1").send(a.address)), "succeeded", a.address);
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= ASKED, "{:?}", times[1] - times[0]);
}
