//! Two tenants, one order number: what is said or done upstream about one's order never is about the
//! other's.

use crate::resolve::{asking, routes, to};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::Sidecar;
use crate::support::until;
use crate::support::upstream::{Act, Request, Upstream};
use serde_json::{Value, json};

const TENANT: &str = "x-tenant";

fn tenants(scope: Value) -> String {
    routes(|route| route["scope"] = scope)
}

fn of(request: &Request) -> &str {
    request.header(TENANT).unwrap_or("nobody")
}

/// A payment service where tenant b has paid order 1, and whoever names no tenant; a has not. Nobody
/// hears from it but who asks or cancels.
fn service() -> Upstream {
    Upstream::acting(|_, request| match (request.target.split('?').next(), of(request)) {
        (Some("/result"), "a") => Act::status(404, "{}"),
        (Some("/result"), tenant) => Act::ok(&json!({"status": "paid", "by": tenant}).to_string()),
        (Some("/cancel"), _) => Act::ok("{}"),
        _ => Act::Reset,
    })
}

fn call(mut call: Call, tenant: &str) -> Call {
    if tenant != "nobody" {
        call = call.header("X-Tenant", tenant);
    }
    call
}

fn pay(onceward: &Sidecar, tenant: &str) -> Reply {
    call(Call::pay("1"), tenant).send(onceward.address)
}

fn until_state(onceward: &Sidecar, scope: &str, wanted: &str) {
    until(&format!("the order of {scope:?} is {wanted}"), || {
        let order = Call::get(&format!("/admin/orders/pay/1?scope={scope}")).send(onceward.admin);
        match order.status {
            404 => wanted == "none",
            _ => order.json()["state"] == wanted,
        }
    });
}

#[test]
fn upstream_is_asked_about_the_tenants_own_order() {
    let (redis, upstream) = (Redis::start(), service());
    let onceward = asking(&redis, &upstream).set("ROUTES", &tenants(json!([TENANT]))).start();
    for tenant in ["a", "b", "nobody"] {
        assert_eq!(pay(&onceward, tenant).state(), "unknown", "{tenant}");
    }
    until_state(&onceward, "b", "succeeded");
    until_state(&onceward, "", "succeeded");
    until_state(&onceward, "a", "none");
    for tenant in ["b", "nobody"] {
        let again = pay(&onceward, tenant);
        assert!(again.is_replay(), "{tenant}");
        assert_eq!(again.json()["by"], tenant);
    }
    let asked = to(&upstream, "/result");
    let all = ["a", "b", "nobody"].iter().all(|tenant| asked.iter().any(|ask| of(ask) == *tenant));
    assert!(all, "{asked:?}");
    // What the caller said of itself, and no more: an empty header is another tenant's to some.
    assert!(asked.iter().all(|ask| ask.header(TENANT) != Some("")));
}

#[test]
fn upstream_is_asked_first_about_the_tenants_own_order() {
    let (redis, upstream) = (Redis::start(), service());
    let tenants = tenants(json!([TENANT]));
    let build = asking(&redis, &upstream).set("ROUTES", &tenants);
    let onceward = build.set("HISTORY_WINDOW", "1h").start();
    let known = pay(&onceward, "b");
    assert_eq!((known.state(), &known.json()["by"]), ("succeeded", &json!("b")));
    // It is sent, and lost.
    assert_eq!(pay(&onceward, "a").state(), "unknown");
    let sent = to(&upstream, "/pay");
    assert_eq!(sent.iter().map(of).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_cancel_is_of_the_tenants_own_order() {
    let (redis, upstream) = (Redis::start(), service());
    let several = json!(["x-shop", TENANT]);
    let late = routes(|route| {
        route["scope"] = several;
        route["query_interval"] = "1h".into();
    });
    let onceward = asking(&redis, &upstream).set("ROUTES", &late).start();
    for tenant in ["a", "b"] {
        assert_eq!(pay(&onceward, tenant).state(), "unknown");
    }
    let cancel = call(Call::post("/_onceward/orders/pay/1/cancel"), "a").send(onceward.address);
    assert_eq!((cancel.status, cancel.state()), (202, "cancelling"));
    until_state(&onceward, "%0Aa", "cancelled");
    until_state(&onceward, "%0Ab", "unknown");
    let cancels = to(&upstream, "/cancel");
    assert!(!cancels.is_empty());
    assert!(cancels.iter().all(|cancel| of(cancel) == "a" && cancel.header("x-shop").is_none()));
}

#[test]
fn an_order_of_a_scope_that_its_route_no_longer_has_is_not_asked_about() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/pay" => Act::Silence,
        _ => Act::ok(r#"{"status":"paid","by":"somebody"}"#),
    });
    let before = asking(&redis, &upstream).set("ROUTES", &tenants(json!([TENANT])));
    let mut before = before.start();
    let cut = call(Call::pay("1"), "a").begin(before.address);
    upstream.heard(1);
    before.kill();
    drop(cut);
    for scope in [json!([]), json!([TENANT, "x-shop"])] {
        let onceward = asking(&redis, &upstream).set("ROUTES", &tenants(scope)).start();
        onceward.logs("another scope than its route's now");
        until("its turn came again", || {
            onceward.metric(r#"onceward_resolutions_total{result="unanswered"}"#) >= 2.0
        });
        until_state(&onceward, "a", "unknown");
    }
    assert_eq!(upstream.calls(), 1);
}
