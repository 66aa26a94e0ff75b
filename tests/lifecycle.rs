//! Routes that work on the same order number share a business state: unpaid, paid, shipped.

use crate::resolve::to;
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, ONCEWARD, Sidecar, sidecar};
use crate::support::until;
use crate::support::upstream::{Act, Gate, Request, Upstream};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// A service that does for each path what it was told last, and else answers 200.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<HashMap<String, Act>>>);

impl Told {
    fn on(&self, path: &str, act: Act) {
        self.0.lock().unwrap().insert(path.to_owned(), act);
    }

    fn act(&self, request: &Request) -> Act {
        let path = request.target.split('?').next().unwrap_or_default();
        self.0.lock().unwrap().get(path).cloned().unwrap_or_else(|| Act::ok(r#"{"done":true}"#))
    }
}

/// The shop of these tests.
fn routes(change: impl FnOnce(&mut Value)) -> String {
    let route = |name: &str, from: &[&str], to: &str| {
        json!({
            "name": name, "path": format!("/{name}"), "methods": ["POST"], "mode": "either",
            "key": ["header:Idempotency-Key"], "duplicate_wait": "0s",
            "query_interval": "200ms", "settle_delay": "0s", "cancel_interval": "200ms",
            "lifecycle": {"name": "order", "from": from, "to": to},
            "query": {"method": "GET", "path": "/result?id={key}", "outcome": [
                {"status": [200], "means": "succeeded"}, {"status": [402], "means": "failed"},
                {"status": [404], "means": "absent"}]},
            "cancel": {"method": "POST", "path": "/undo?id={key}", "outcome": [
                {"status": [200], "means": "cancelled"}]},
        })
    };
    let mut all = json!({
        "lifecycles": {"order": {"start": "unpaid", "moves": [
            ["unpaid", "paid"], ["unpaid", "closed"], ["paid", "shipped"],
            ["shipped", "completed"], ["paid", "refunded"], ["shipped", "refunded"]]}},
        "routes": [
            route("pay", &["unpaid"], "paid"),
            route("close", &["unpaid"], "closed"),
            route("ship", &["paid"], "shipped"),
            route("complete", &["shipped"], "completed"),
            route("refund", &["paid", "shipped"], "refunded"),
            {"name": "notify", "path": "/notify", "kind": "callback", "settles": "pay",
             "key": ["json:/id"]},
        ],
    });
    change(&mut all);
    all.to_string()
}

/// Leases that are soon found lost.
fn briefly(all: &mut Value) {
    for route in all["routes"].as_array_mut().unwrap() {
        if route["kind"] != "callback" {
            route["lock_ttl"] = "3s".into();
        }
    }
}

struct Shop {
    _redis: Redis,
    upstream: Upstream,
    told: Told,
    build: Builder,
    onceward: Sidecar,
}

impl Shop {
    fn open() -> Shop {
        Shop::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Value)) -> Shop {
        let (redis, told) = (Redis::start(), Told::default());
        let acts = told.clone();
        let upstream = Upstream::acting(move |_, request| acts.act(request));
        let build = sidecar(&redis, &upstream).set("ROUTES", &routes(change));
        let onceward = build.start();
        Shop { _redis: redis, upstream, told, build, onceward }
    }

    fn call(route: &str) -> Call {
        Call::post(&format!("/{route}")).key("1").json("{}")
    }

    fn ask(&self, route: &str) -> Reply {
        Shop::call(route).send(self.onceward.address)
    }

    /// How often a route's requests reached the service.
    fn heard(&self, route: &str) -> usize {
        to(&self.upstream, &format!("/{route}")).len()
    }

    /// An order as an operator sees it.
    fn order(&self, route: &str) -> Value {
        Call::get(&format!("/admin/orders/{route}/1")).send(self.onceward.admin).json()
    }

    fn until_state(&self, route: &str, state: &str) {
        until(&format!("{route} is {state}"), || self.order(route)["state"] == state);
    }

    fn assert_stands(&self, route: &str, state: &str, moving: bool) {
        let expected = json!({"name": "order", "state": state, "moving": moving});
        assert_eq!(self.order(route)["lifecycle"], expected);
    }

    fn assert_done(&self, route: &str) {
        let done = self.ask(route);
        assert_eq!((done.status, done.state()), (200, "succeeded"), "{route}: {}", done.text());
        assert!(!done.is_replay(), "{route}");
    }

    #[track_caller]
    fn assert_illegal(&self, route: &str, stands: &str) {
        let (before, refused) = (self.heard(route), self.ask(route));
        assert_eq!((refused.status, refused.problem()), (409, "illegal-transition".into()));
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("{stands:?}")), "{detail}");
        assert_eq!((refused.state(), refused.json()["order"].as_str()), ("none", Some("1")));
        assert_eq!(self.heard(route), before);
    }

    #[track_caller]
    fn assert_moving(&self, route: &str) {
        let (before, refused) = (self.heard(route), self.ask(route));
        assert_eq!((refused.status, refused.problem()), (409, "in-progress".into()));
        assert!(refused.header("retry-after").is_some());
        assert!(refused.json()["detail"].as_str().unwrap().starts_with("Something else"));
        assert_eq!((refused.state(), self.heard(route)), ("none", before));
    }
}

#[test]
fn an_order_is_paid_shipped_completed_and_each_step_only_once_and_in_turn() {
    let shop = Shop::open();
    shop.assert_illegal("ship", "unpaid");
    shop.assert_illegal("refund", "unpaid");
    let mut answers = Vec::new();
    for (route, stands) in [("pay", "paid"), ("ship", "shipped"), ("complete", "completed")] {
        shop.assert_done(route);
        answers.push((route, shop.ask(route)));
        shop.assert_illegal("close", stands);
    }
    shop.assert_illegal("refund", "completed");
    // A duplicate of a finished move is a replay, and no illegal transition.
    for (route, first) in answers {
        let again = shop.ask(route);
        assert!(again.is_replay(), "{route}");
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(shop.heard(route), 1);
        shop.assert_stands(route, "completed", false);
    }
    let refused = shop
        .onceward
        .metric(r#"onceward_requests_total{route="refund",outcome="illegal-transition"}"#);
    assert_eq!(refused, 2.0);
}

#[test]
fn a_paid_order_is_refunded_from_either_state() {
    for before in ["pay", "ship"] {
        let shop = Shop::open();
        shop.assert_done("pay");
        if before == "ship" {
            shop.assert_done("ship");
        }
        shop.assert_done("refund");
        shop.assert_illegal("complete", "refunded");
    }
}

#[test]
fn of_two_moves_at_once_one_goes_and_the_other_is_told_to_wait() {
    let (shop, gate) = (Shop::open(), Gate::default());
    shop.told.on("/pay", Act::ok("{}").behind(&gate));
    let paying = Shop::call("pay").spawn(shop.onceward.address);
    until("paying reaches the service", || shop.heard("pay") == 1);
    shop.assert_moving("close");
    shop.assert_stands("pay", "unpaid", true);
    gate.open();
    assert_eq!(paying.join().unwrap().status, 200);
    shop.assert_illegal("close", "paid");
}

#[test]
fn of_many_moves_at_once_over_two_sidecars_exactly_one_goes() {
    let (shop, gate) = (Shop::open(), Gate::default());
    let second = shop.build.start();
    for path in ["/pay", "/close"] {
        shop.told.on(path, Act::ok("{}").behind(&gate));
    }
    let sent: Vec<_> = (0..24)
        .map(|n| {
            let route = if n % 2 == 0 { "pay" } else { "close" };
            let to = if n % 4 < 2 { shop.onceward.address } else { second.address };
            Shop::call(route).spawn(to)
        })
        .collect();
    until("one of them reaches the service", || shop.heard("pay") + shop.heard("close") > 0);
    // All others are answered while the one that goes is still held.
    until("the rest is refused", || sent.iter().filter(|it| it.is_finished()).count() == 23);
    gate.open();
    let replies: Vec<_> = sent.into_iter().map(|it| it.join().unwrap()).collect();
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.problem() == "in-progress"));
    assert_eq!(shop.heard("pay") + shop.heard("close"), 1);
}

#[test]
fn kill_9_in_the_middle_of_a_move_holds_the_others_until_it_is_known() {
    let (mut shop, gate) = (Shop::with(briefly), Gate::default());
    shop.told.on("/pay", Act::Silence);
    shop.told.on("/result", Act::ok("{}").behind(&gate));
    let cut = Shop::call("pay").begin(shop.onceward.address);
    until("paying reaches the service", || shop.heard("pay") == 1);
    shop.onceward.kill();
    drop(cut);
    shop.onceward = shop.build.start();
    shop.assert_moving("close");
    shop.until_state("pay", "unknown");
    shop.assert_moving("close");
    shop.assert_stands("pay", "unpaid", true);
    gate.open();
    shop.until_state("pay", "succeeded");
    shop.assert_illegal("close", "paid");
    shop.assert_done("ship");
    assert_eq!(shop.heard("pay"), 1);
}

#[test]
fn a_move_that_ended_unknown_is_made_or_not_as_the_query_says() {
    for (answer, state, next) in [(200, "succeeded", "ship"), (402, "failed", "close")] {
        let (shop, gate) = (Shop::open(), Gate::default());
        shop.told.on("/pay", Act::Reset);
        shop.told.on("/result", Act::status(answer, "{}").behind(&gate));
        assert_eq!(shop.ask("pay").status, 502);
        shop.assert_moving("close");
        gate.open();
        shop.until_state("pay", state);
        shop.assert_done(next);
    }
}

#[test]
fn a_move_upstream_knows_nothing_of_leaves_the_order_where_it_stood() {
    let shop = Shop::open();
    shop.told.on("/pay", Act::Reset);
    shop.told.on("/result", Act::status(404, "{}"));
    shop.ask("pay");
    until("it may run again", || shop.order("pay")["state"] == "none");
    shop.assert_done("close");
    // Its duplicate would be a new payment of a closed order.
    shop.assert_illegal("pay", "closed");
}

#[test]
fn a_move_that_fails_or_is_not_begun_frees_the_order() {
    let shop = Shop::open();
    shop.told.on("/pay", Act::status(429, "{}"));
    assert_eq!((shop.ask("pay").status, shop.ask("pay").status), (429, 429));
    shop.told.on("/pay", Act::status(402, "{}"));
    assert_eq!(shop.ask("pay").state(), "failed");
    shop.assert_stands("pay", "unpaid", false);
    shop.assert_done("close");
}

#[test]
fn a_service_that_cannot_be_reached_frees_the_order() {
    let redis = Redis::start();
    let refusing = crate::support::Refusing::bind();
    let build = sidecar(&redis, &Upstream::start()).set("UPSTREAM", &refusing.url());
    let onceward = build.set("ROUTES", &routes(|_| {})).start();
    for route in ["pay", "close", "pay"] {
        let refused = Shop::call(route).send(onceward.address);
        assert_eq!((refused.status, refused.state()), (502, "none"), "{}", refused.text());
    }
}

#[test]
fn an_accepted_order_moves_from_its_acceptance_to_its_end() {
    let (shop, gate) = (Shop::open(), Gate::default());
    let async_call = |route: &str| {
        Shop::call(route).header("Prefer", "respond-async").send(shop.onceward.address)
    };
    assert_eq!(async_call("ship").problem(), "illegal-transition");
    shop.told.on("/pay", Act::ok("{}").behind(&gate));
    assert_eq!(async_call("pay").status, 202);
    shop.assert_moving("close");
    assert_eq!(async_call("close").problem(), "in-progress");
    gate.open();
    shop.until_state("pay", "succeeded");
    shop.assert_illegal("close", "paid");
    assert_eq!(async_call("ship").status, 202);
    shop.until_state("ship", "succeeded");
    shop.assert_stands("ship", "shipped", false);
}

#[test]
fn a_callback_that_settles_a_payment_moves_its_order() {
    let (shop, gate) = (Shop::open(), Gate::default());
    shop.told.on("/pay", Act::Reset);
    shop.told.on("/result", Act::status(500, "{}").behind(&gate));
    shop.ask("pay");
    shop.assert_moving("close");
    let told = Call::post("/notify").json(r#"{"id":"1"}"#).send(shop.onceward.address);
    assert_eq!(told.status, 200);
    assert_eq!(shop.order("pay")["state"], "succeeded");
    shop.assert_stands("pay", "paid", false);
    shop.assert_done("ship");
    gate.open();
}

#[test]
fn a_cancelled_payment_frees_the_order() {
    let (shop, gate) = (Shop::open(), Gate::default());
    shop.told.on("/pay", Act::Reset);
    shop.told.on("/result", Act::status(500, "{}"));
    shop.told.on("/undo", Act::ok("{}").behind(&gate));
    shop.ask("pay");
    shop.assert_moving("close");
    let cancel = Call::post("/_onceward/orders/pay/1/cancel").send(shop.onceward.address);
    assert_eq!(cancel.status, 202);
    shop.assert_moving("close");
    gate.open();
    shop.until_state("pay", "cancelled");
    shop.assert_stands("pay", "unpaid", false);
    shop.assert_done("close");
}

#[test]
fn an_operators_word_moves_the_order_or_frees_it_and_is_shown() {
    for (word, state, moved) in [("succeeded", "paid", true), ("failed", "unpaid", false)] {
        let shop = Shop::with(|all| {
            for route in all["routes"].as_array_mut().unwrap() {
                route.as_object_mut().unwrap().remove("query");
            }
        });
        shop.told.on("/pay", Act::Reset);
        shop.ask("pay");
        let wish = json!({"state": word, "why": "the bank says so"}).to_string();
        let told = Call::post("/admin/orders/pay/1/resolve").json(&wish).send(shop.onceward.admin);
        assert_eq!(told.status, 200, "{}", told.text());
        assert_eq!(
            told.json()["lifecycle"],
            json!({"name": "order", "state": state, "moving": false})
        );
        let shown = Command::new(ONCEWARD)
            .args(["order", "show", "pay", "1"])
            .env("ONCEWARD_ADMIN_LISTEN", shop.onceward.admin.to_string())
            .output()
            .unwrap();
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["lifecycle"]["state"], state);
        shop.assert_done(if moved { "ship" } else { "close" });
    }
}

#[test]
fn a_success_that_comes_too_late_stays_true_and_somebody_is_called() {
    let (shop, gate) = (Shop::with(briefly), Gate::default());
    shop.told.on("/pay", Act::ok(r#"{"paid":"late"}"#).behind(&gate));
    shop.told.on("/result", Act::status(500, "{}"));
    // A holder that sleeps past its lease, and an operator who is sure that it never paid.
    let paying = Shop::call("pay").spawn(shop.onceward.address);
    until("paying reaches the service", || shop.heard("pay") == 1);
    shop.onceward.pause();
    let second = shop.build.start();
    let release = || {
        let call = Call::post("/admin/orders/pay/1/release").json(r#"{"why":"sure"}"#);
        call.send(second.admin).status
    };
    until("it is unknown and released", || release() == 200);
    assert_eq!(Shop::call("close").send(second.address).status, 200);
    gate.open();
    shop.onceward.resume();
    let late = paying.join().unwrap();
    assert_eq!((late.status, late.state()), (200, "succeeded"));
    let alarms = r#"onceward_alarms_total{kind="illegal-move"}"#;
    assert_eq!(shop.onceward.metric(alarms), 1.0);
    shop.assert_stands("pay", "closed", false);
    let again = shop.ask("pay");
    assert_eq!((again.is_replay(), again.text()), (true, r#"{"paid":"late"}"#.to_owned()));
    let history = shop.order("pay")["history"].as_array().unwrap().last().unwrap().clone();
    assert!(
        history["why"].as_str().unwrap().ends_with("its lifecycle was not moved, it is closed")
    );
    shop.onceward.logs("whose lifecycle had moved on");
}

#[test]
fn a_request_without_its_number_does_not_pass_the_lifecycle_by() {
    let shop = Shop::open();
    let refused = Call::post("/ship").json("{}").send(shop.onceward.address);
    assert_eq!((refused.status, refused.problem()), (400, "key-missing".into()));
    assert_eq!(shop.upstream.calls(), 0);
}

#[test]
fn a_lifecycle_that_is_configured_later_is_taken_and_a_bad_one_is_not() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.json");
    let without: Value = serde_json::from_str(&routes(|_| {})).unwrap();
    let mut list = without["routes"].clone();
    for route in list.as_array_mut().unwrap() {
        route.as_object_mut().unwrap().remove("lifecycle");
    }
    std::fs::write(&file, list.to_string()).unwrap();
    let build = sidecar(&redis, &upstream).set("ROUTES", file.to_str().unwrap());
    let onceward = build.start();
    let ship = |key: &str| Call::post("/ship").key(key).json("{}").send(onceward.address).problem();
    assert_eq!(ship("0"), "");
    std::fs::write(&file, routes(|_| {})).unwrap();
    let mut n = 0;
    until("the lifecycle is in force", || {
        n += 1;
        ship(&format!("a{n}")) == "illegal-transition"
    });
    std::fs::write(&file, routes(|all| all["lifecycles"]["order"]["start"] = "new".into()))
        .unwrap();
    until("the bad one is told of", || onceward.log().contains("the last good ones stay"));
    assert_eq!(ship("b"), "illegal-transition");
}

#[test]
fn routes_without_a_lifecycle_send_redis_not_one_command_more() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let plain = r#"[{"name": "pay", "path": "/pay"}]"#;
    let onceward = sidecar(&redis, &upstream).set("ROUTES", plain).start();
    Call::pay("warm").send(onceward.address);
    let watching = redis.monitor();
    assert_eq!(Call::pay("1").send(onceward.address).status, 200);
    let lines = watching.stop();
    assert!(lines.iter().any(|line| line.contains(":order:")));
    assert!(!lines.iter().any(|line| line.contains(":lifecycle:") || line.contains("move")));
}
