//! How it is told: what stays out of it, and that no payment waits for a collector.

use super::{TRACE, pay, traced};
use crate::support::certificates::Authority;
use crate::support::client::Call;
use crate::support::collector::{Collector, spans};
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::upstream::{Act, Upstream};
use crate::support::{Refusing, until};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CARD: &str = "4111111111111111";
const BEARER: &str = "bearer-s3cret-bearer";
const KEY: &str = "order-number-77";
const STATE: &str = "vendor-s3cret";

fn result(onceward: &Sidecar, result: &str) -> f64 {
    onceward.metric(&format!("onceward_spans_total{{result=\"{result}\"}}"))
}

/// redacted: what must not be seen is in no span, nor is what the collector is shown in any log.
#[test]
fn nothing_a_payment_carries_is_in_any_span() {
    let (redis, collector) = (Redis::start(), Collector::start());
    let upstream = Upstream::acting(|call, _| match call % 3 {
        0 => Act::Reset,
        1 => Act::status(500, CARD).with("X-Card", CARD),
        _ => Act::ok(CARD).with("X-Card", CARD),
    });
    let routes = r#"[
        {"name": "pay", "path": "/pay/{card}", "key": ["json:/order"], "token": "optional"},
        {"name": "notify", "path": "/notify", "kind": "callback", "key": ["json:/order"]}]"#;
    let mut onceward = traced(&redis, &upstream, &collector)
        .set("ROUTES", routes)
        .set("LOG", "trace")
        .set("DUPLICATE_WAIT", "0s")
        .set("OTEL_EXPORTER_OTLP_HEADERS", &format!("authorization=Bearer%20{BEARER}"))
        .start();
    let bearer = |call: Call| call.header("Authorization", &format!("Bearer {BEARER}"));
    let fetched = bearer(Call::post("/_onceward/tokens")).json(r#"{"route":"pay"}"#);
    let token = fetched.send(onceward.address).json()["token"].as_str().unwrap().to_owned();
    for order in 1..=9 {
        let body = format!(r#"{{"order":"{KEY}-{order}","card":"{CARD}"}}"#);
        for path in [format!("/pay/{CARD}?card={CARD}"), "/notify".to_owned()] {
            let call = bearer(Call::post(&path)).json(&body).header("Payment-Token", &token);
            let call = call.header("X-Card", CARD).header("Tracestate", &format!("a={STATE}"));
            call.send(onceward.address);
            call.send(onceward.address);
        }
    }
    // The last ones come before it ends.
    onceward.terminate();
    assert!(onceward.ended().success());
    let posted = collector.requests();
    let found = |secret: &str| {
        let within = |body: &[u8]| body.windows(secret.len()).any(|part| part == secret.as_bytes());
        posted.iter().any(|request| within(&request.body))
    };
    assert!(found("POST pay") && found("POST notify"), "{:?}", collector.spans());
    for secret in [CARD, BEARER, KEY, STATE, &token] {
        assert!(!found(secret), "{secret} is in a span");
        assert!(!onceward.log().contains(secret), "{secret} is in the log");
    }
    assert_eq!(posted[0].header("authorization"), Some(format!("Bearer {BEARER}").as_str()));
}

#[test]
fn a_collector_that_is_silent_holds_up_no_payment_and_costs_only_spans() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let collector = Collector::acting(|_, _| Act::Silence);
    let mut onceward =
        traced(&redis, &upstream, &collector).set("OTEL_EXPORTER_OTLP_TIMEOUT", "600000").start();
    pay("first").send(onceward.address);
    until("it hangs at the collector", || !collector.requests().is_empty());
    // More spans than the queue holds, each payment answered while the collector is silent.
    let spans_of_one = 4;
    let payers: Vec<_> = (0..8)
        .map(|payer| {
            let to = onceward.address;
            std::thread::spawn(move || {
                for n in 0..2048 / spans_of_one / 8 + 16 {
                    assert_eq!(pay(&format!("{payer}-{n}")).send(to).status, 200);
                }
            })
        })
        .collect();
    payers.into_iter().for_each(|payer| payer.join().unwrap());
    until("what did not fit is counted", || result(&onceward, "dropped") > 0.0);
    assert_eq!(collector.requests().len(), 1, "nothing else was begun");
    onceward.terminate();
    assert!(onceward.ended().success());
    assert_eq!(onceward.log().matches("the last spans could not").count(), 1);
}

#[test]
fn a_collector_that_is_away_is_warned_of_once_and_found_again() {
    let (redis, upstream, port) = (Redis::start(), Upstream::start(), Refusing::bind());
    let onceward =
        sidecar(&redis, &upstream).set("OTEL_EXPORTER_OTLP_ENDPOINT", &port.url()).start();
    let mut paid = 0;
    let mut lose = |spans: f64| {
        until("spans are lost", || {
            paid += 1;
            assert_eq!(pay(&paid.to_string()).send(onceward.address).status, 200);
            result(&onceward, "failed") > spans
        });
        result(&onceward, "failed")
    };
    let lost = lose(0.0);
    lose(lost);
    assert_eq!(onceward.log().matches("spans could not be exported").count(), 1);
    let late = Upstream::on(port.listen(), |_, _| Act::Answer(200, Vec::new(), Vec::new()));
    until("it is found again", || {
        pay("late").send(onceward.address);
        result(&onceward, "exported") > 0.0
    });
    assert!(!spans(&late.requests()[0].body).is_empty());
}

#[test]
fn what_a_collector_puts_off_is_offered_again_and_what_it_refuses_is_not() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let refuses = Arc::new(AtomicBool::new(false));
    let told = refuses.clone();
    let collector = Collector::acting(move |call, _| match call {
        1 => Act::status(503, "").with("Retry-After", "0"),
        _ if told.load(Ordering::SeqCst) => Act::status(400, "no"),
        _ => Act::Answer(200, Vec::new(), Vec::new()),
    });
    let onceward = traced(&redis, &upstream, &collector).start();
    pay("1").send(onceward.address);
    until("all of it was taken", || result(&onceward, "exported") == 4.0);
    let requests = collector.requests();
    assert_eq!(requests[0].body, requests[1].body);
    refuses.store(true, Ordering::SeqCst);
    pay("2").send(onceward.address);
    until("all of it was refused", || result(&onceward, "failed") == 4.0);
    refuses.store(false, Ordering::SeqCst);
    pay("3").send(onceward.address);
    until("the next are taken", || result(&onceward, "exported") == 8.0);
    assert!(onceward.log().contains("it answered 400"));
}

#[test]
fn a_sidecar_that_stops_tells_its_last_spans() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let mut onceward = traced(&redis, &upstream, &collector).start();
    for key in 0..20 {
        pay(&key.to_string()).send(onceward.address);
    }
    onceward.terminate();
    assert!(onceward.ended().success());
    let roots = collector.spans().into_iter().filter(|span| span.name == "POST default");
    assert_eq!(roots.count(), 20);
    assert!(collector.spans().iter().all(|span| span.trace == TRACE));
}

#[test]
fn what_cannot_be_followed_is_told_and_payments_go_on() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream)
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
        .set("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .start();
    assert_eq!(pay("1").send(onceward.address).status, 200);
    assert!(onceward.log().contains("only http/protobuf is spoken"), "{}", onceward.log());
    let sent = upstream.requests()[0].header("traceparent").map(str::to_owned);
    assert_eq!(sent, Some(super::traceparent("01")), "nothing is exported: untouched");
}

#[test]
fn logs_are_no_louder_while_traces_are_exported() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let traced = traced(&redis, &upstream, &collector);
    let (usual, debug) = (traced.start(), traced.clone().set("LOG", "debug").start());
    pay("1").send(usual.address);
    pay("2").send(debug.address);
    collector.hears("POST default", 2);
    // What is told of requests at debug, and the span a line stands in.
    for louder in ["answered", "\"span\""] {
        until("it is told at debug", || debug.log().contains(louder));
        assert!(!usual.log().contains(louder), "{}", usual.log());
    }
}

#[test]
fn a_collector_behind_tls_is_known_by_its_certificate() {
    let (redis, upstream, authority) = (Redis::start(), Upstream::start(), Authority::new());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let traced = sidecar(&redis, &upstream).set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let trusting = traced.clone().set("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority.file()).start();
    let taking = std::thread::spawn(move || take_by_tls(&listener, &authority));
    pay("1").send(trusting.address);
    assert!(!taking.join().unwrap().is_empty());
}

/// Takes one request behind TLS; its spans.
fn take_by_tls(
    listener: &TcpListener,
    authority: &Authority,
) -> Vec<crate::support::collector::Span> {
    let (certificate, key) = authority.sign("127.0.0.1");
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a server");
    let (stream, _) = listener.accept().expect("a connection");
    let session = rustls::ServerConnection::new(Arc::new(config)).expect("a session");
    let mut stream = BufReader::new(rustls::StreamOwned::new(session, stream));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).expect("a length");
    let length = length.lines().next().unwrap_or_default().parse().expect("a number");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("answered");
    spans(&body)
}
