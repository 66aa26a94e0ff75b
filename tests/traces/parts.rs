//! What is told: spans, their places, and what they say of themselves.

use super::{CALLER, TRACE, below, named, pay, traced, traceparent};
use crate::resolve::{answering, routes, until_state};
use crate::support::client::Call;
use crate::support::collector::Collector;
use crate::support::redis::Redis;
use crate::support::sidecar::sidecar;
use crate::support::until;
use crate::support::upstream::{Act, Upstream};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::time::Duration;

#[test]
fn a_payment_is_one_trace_from_its_caller_to_the_payment_service() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let onceward = traced(&redis, &upstream, &collector)
        .set("OTEL_SERVICE_NAME", "sidecar")
        .set("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test%20of%20ours")
        .set("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b")
        .start();
    let call = pay("order-77").header("Tracestate", "vendor=1");
    assert_eq!(call.send(onceward.address).status, 200);
    let root = collector.hears("POST default", 1).remove(0);
    let spans = collector.spans();
    assert_eq!((root.trace.as_str(), root.parent.as_str()), (TRACE, CALLER));
    assert_eq!(root.kind, SpanKind::Server);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("onceward.route", "default"),
        ("onceward.outcome", "first"),
        ("onceward.state", "succeeded"),
        ("onceward.replay", "false"),
        ("onceward.fence", "1"),
        ("onceward.attempt", "1"),
        ("onceward.fault", ""),
    ] {
        assert_eq!(root.says(name), value, "{name}");
    }
    // As in the log: the id that stands in Redis' names, not the key.
    let id = root.says("onceward.order");
    assert!(redis.command(&["KEYS", "onceward:*:order:*"]).ends_with(&format!(":{id}")));

    assert_eq!(below(&spans, &root), ["claim", "settle", "upstream"]);
    let of = |name: &str| spans.iter().find(|span| span.name == name).expect("a span");
    assert_eq!(of("claim").says("onceward.result"), "granted");
    assert_eq!(of("settle").says("onceward.result"), "settled");
    let sent = of("upstream");
    assert_eq!(
        (sent.kind, sent.says("http.response.status_code")),
        (SpanKind::Client, "200".into())
    );
    assert_eq!(sent.says("onceward.meaning"), "succeeded");
    // In order, and within their request.
    assert!(root.began <= of("claim").began && of("claim").ended <= sent.began);
    assert!(sent.ended <= of("settle").began && of("settle").ended <= root.ended);
    // The payment service goes on from the call that reached it.
    assert_eq!(named(&upstream, 0), (TRACE.into(), sent.id.clone(), "01".into()));
    assert_eq!(upstream.requests()[0].header("tracestate"), Some("vendor=1"));

    assert_eq!(collector.resource("service.name"), "sidecar");
    assert_eq!(collector.resource("deployment.environment.name"), "test of ours");
    assert!(!collector.resource("service.instance.id").is_empty());
    let posted = &collector.requests()[0];
    assert_eq!((posted.method.as_str(), posted.target.as_str()), ("POST", "/v1/traces"));
    assert_eq!(posted.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(posted.header("x-key"), Some("a b"));
}

#[test]
fn a_caller_without_a_trace_gets_one_of_its_own() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let onceward = traced(&redis, &upstream, &collector).start();
    // What is noted of a trace that cannot be read, nobody can use.
    let senseless = Call::pay("1").header("Traceparent", "00-x").header("Tracestate", "vendor=1");
    let twice = pay("2").header("Traceparent", &traceparent("01"));
    for call in [senseless, twice] {
        assert_eq!(call.send(onceward.address).status, 200);
    }
    let roots = collector.hears("POST default", 2);
    assert!(roots.iter().all(|root| root.parent.is_empty() && root.trace != TRACE));
    assert_ne!(roots[0].trace, roots[1].trace);
    assert_eq!(upstream.requests()[0].header("tracestate"), None);
    let named = [named(&upstream, 0).0, named(&upstream, 1).0];
    assert_eq!(named, [roots[0].trace.clone(), roots[1].trace.clone()]);
}

#[test]
fn a_trace_that_its_caller_does_not_keep_is_not_exported_and_goes_on() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let onceward = traced(&redis, &upstream, &collector).start();
    let call = Call::pay("1").header("Traceparent", &traceparent("00"));
    assert_eq!(call.send(onceward.address).status, 200);
    assert_eq!(pay("2").send(onceward.address).status, 200);
    collector.hears("POST default", 1);
    until("all of it was exported", || {
        onceward.metric("onceward_spans_total{result=\"exported\"}") >= 4.0
    });
    assert_eq!(collector.spans().len(), 4);
    let (trace, span, flags) = named(&upstream, 0);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    assert_ne!(span, CALLER);
}

#[test]
fn a_sampler_that_keeps_nothing_exports_nothing_whatever_callers_say() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let mut onceward =
        traced(&redis, &upstream, &collector).set("OTEL_TRACES_SAMPLER", "always_off").start();
    assert_eq!(pay("1").send(onceward.address).status, 200);
    assert_eq!(named(&upstream, 0).2, "00");
    // What there is to export, it exports before it ends.
    onceward.terminate();
    assert!(onceward.ended().success());
    assert_eq!(collector.connections(), 0);
}

#[test]
fn what_is_not_protected_is_passed_on_as_it_came() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let routes = r#"[{"name": "pay", "path": "/pay", "key": ["json:/order"]}]"#;
    let onceward = traced(&redis, &upstream, &collector).set("ROUTES", routes).start();
    let with_place = |call: Call| call.header("Traceparent", &traceparent("01"));
    // Of another path, and of the route's own but without a key.
    with_place(Call::get("/list")).send(onceward.address);
    with_place(Call::post("/pay").json(r#"{"amount":1}"#)).send(onceward.address);
    for request in upstream.requests() {
        assert_eq!(request.header("traceparent"), Some(traceparent("01").as_str()));
    }
    with_place(Call::post("/pay").json(r#"{"order":"1"}"#)).send(onceward.address);
    let roots = collector.hears("POST pay", 1);
    assert_eq!((roots.len(), upstream.calls()), (1, 3));
    assert_eq!(collector.spans().len(), 4, "{:?}", collector.spans());
}

#[test]
fn without_an_endpoint_the_place_is_passed_on_as_it_came() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("OTEL_TRACES_SAMPLER", "always_on").start();
    let call = pay("1").header("Tracestate", "vendor=1");
    assert_eq!(call.send(onceward.address).status, 200);
    let sent = &upstream.requests()[0];
    assert_eq!(sent.header("traceparent"), Some(traceparent("01").as_str()));
    assert_eq!(sent.header("tracestate"), Some("vendor=1"));
    assert_eq!(onceward.metric("onceward_spans_total{result=\"exported\"}"), 0.0);
}

#[test]
fn what_failed_says_so() {
    let (redis, collector) = (Redis::start(), Collector::start());
    let upstream = Upstream::acting(|_, _| Act::Reset);
    let onceward = traced(&redis, &upstream, &collector).set("FAULTS", "on").start();
    onceward.fault("late", serde_json::json!({"at": "response", "do": {"delay": "1ms"}}));
    assert_eq!(pay("1").send(onceward.address).problem(), "upstream-broken");
    let root = collector.hears("POST default", 1).remove(0);
    assert_eq!(root.error, "upstream-broken");
    assert_eq!(root.says("onceward.state"), "unknown");
    assert_eq!(root.says("onceward.fault"), "late");
    let spans = collector.spans();
    let sent = spans.iter().find(|span| span.name == "upstream").expect("a span");
    assert!(sent.error.contains("broke off"), "{}", sent.error);
}

#[test]
fn a_caller_that_hangs_up_leaves_a_span_that_ends_with_its_attempt() {
    let (redis, collector) = (Redis::start(), Collector::start());
    let upstream = Upstream::acting(|_, _| Act::ok("paid").after(Duration::from_millis(200)));
    let onceward = traced(&redis, &upstream, &collector).start();
    let gone = || collector.spans().into_iter().find(|span| span.name == "POST");
    let (mut left, mut paid) = (None, 0);
    // When it is seen that somebody left, nobody can tell: many leave until it is.
    until("somebody is seen to leave", || {
        paid += 1;
        let caller = pay(&paid.to_string()).begin(onceward.address);
        upstream.heard(paid);
        drop(caller);
        left = gone();
        left.is_some()
    });
    let left = left.unwrap();
    assert_eq!(left.says("onceward.outcome"), "caller-gone");
    assert_eq!((left.says("onceward.fence"), left.says("onceward.state")), ("1".into(), "".into()));
    let spans = collector.spans();
    let below: Vec<_> = spans.iter().filter(|span| span.parent == left.id).collect();
    assert_eq!(below.len(), 3, "claim, upstream, settle: {below:?}");
}

#[test]
fn a_callback_is_a_trace_with_the_order_it_settles() {
    let (redis, collector) = (Redis::start(), Collector::start());
    let upstream = Upstream::acting(|_, _| Act::ok("success"));
    let routes = r#"[{"name": "pay", "path": "/pay"},
        {"name": "notify", "path": "/notify", "kind": "callback", "key": ["json:/orderId"],
         "settles": "pay"}]"#;
    let onceward = traced(&redis, &upstream, &collector).set("ROUTES", routes).start();
    let call = Call::post("/notify").json(r#"{"orderId":"1"}"#);
    assert_eq!(call.send(onceward.address).status, 200);
    assert_eq!(call.send(onceward.address).status, 200);
    let roots = collector.hears("POST notify", 2);
    let spans = collector.spans();
    assert_eq!(below(&spans, &roots[0]), ["accept", "conclude", "settle", "upstream"]);
    assert_eq!(below(&spans, &roots[1]), ["accept"]);
    assert_eq!(
        [roots[0].says("onceward.outcome"), roots[1].says("onceward.replay")],
        ["first", "true"]
    );
    assert_eq!(named(&upstream, 0).0, roots[0].trace);
    // The repeat is a trace of its own, and says which one it repeats.
    assert_eq!(roots[1].links, [(roots[0].trace.clone(), roots[0].id.clone())]);
}

#[test]
fn what_was_accepted_is_sent_in_the_same_trace() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let routes = r#"[{"name": "pay", "path": "/pay", "mode": "async"}]"#;
    let onceward = traced(&redis, &upstream, &collector).set("ROUTES", routes).start();
    let own = Call::pay("2");
    for call in [pay("1"), own] {
        assert_eq!(call.send(onceward.address).status, 202);
    }
    let accepted = collector.hears("POST pay", 2);
    let sent = collector.hears("dispatch", 2);
    let spans = collector.spans();
    for accepted in &accepted {
        assert_eq!(below(&spans, accepted), ["dispatch", "enqueue"]);
        assert_eq!(accepted.says("onceward.outcome"), "accepted");
    }
    for sent in &sent {
        assert_eq!(sent.kind, SpanKind::Consumer);
        assert_eq!(below(&spans, sent), ["claim", "settle", "upstream"]);
        assert_eq!(sent.says("onceward.fence"), "1");
    }
}

#[test]
fn asking_about_an_order_is_part_of_its_trace() {
    let (redis, collector) = (Redis::start(), Collector::start());
    let upstream = answering(
        || Act::ok(r#"{"status":"paying"}"#),
        |asked| Act::ok(if asked == 1 { "{}" } else { r#"{"status":"paid"}"# }),
    );
    let onceward = traced(&redis, &upstream, &collector).set("ROUTES", &routes(|_| {})).start();
    assert_eq!(pay("1").send(onceward.address).state(), "unknown");
    until_state(&onceward, "1", "succeeded");
    let queries = collector.hears("query", 2);
    let root = collector.hears("POST pay", 1).remove(0);
    for (query, result) in queries.iter().zip(["unclear", "succeeded"]) {
        assert_eq!((&query.trace, &query.parent), (&root.trace, &root.id));
        assert_eq!(query.says("onceward.result"), result);
        assert_eq!(query.says("onceward.order"), root.says("onceward.order"));
    }
    // The payment service hears whose question it is.
    let asked = upstream.requests().iter().position(|sent| sent.target.starts_with("/result"));
    let (trace, span, _) = named(&upstream, asked.expect("a query"));
    assert_eq!((trace, span), (queries[0].trace.clone(), queries[0].id.clone()));
}
