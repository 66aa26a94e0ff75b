//! Heads: lines, floods, versions, methods, hosts, targets.

use super::table::{Expect, case, check};
use super::wire::{Wire, guarded};
use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::upstream::Upstream;
use Expect::{Cut, Refused, Served};

const BAD: Expect = Refused(&[400]);

/// A protected payment with these lines in its head.
fn with(lines: &str) -> Vec<u8> {
    let key = "Idempotency-Key: k\r\nContent-Length: 2\r\n";
    format!("POST /pay HTTP/1.1\r\nHost: pay.test\r\n{key}{lines}\r\n{{}}").into_bytes()
}

/// A payment that begins with this line.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: pay.test\r\nIdempotency-Key: k\r\nContent-Length: 0\r\n\r\n")
}

/// A payment with these lines for its host.
fn host(lines: &str) -> String {
    format!("POST /pay HTTP/1.1\r\n{lines}Idempotency-Key: k\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn malformed_header_lines_are_refused() {
    check(vec![
        case("NUL in a value", with("X: a\0b\r\n"), BAD),
        case("NUL in a name", with("X\0Y: a\r\n"), BAD),
        case("control character in a value", with("X: a\u{1}b\r\n"), BAD),
        case("DEL in a value", with("X: a\u{7f}b\r\n"), BAD),
        case("no colon", with("X\r\n"), BAD),
        case("no name", with(": x\r\n"), BAD),
        case("space in a name", with("X Y: a\r\n"), BAD),
        case("space behind a name", with("X : a\r\n"), BAD),
        case("space before a name", with(" X: a\r\n"), BAD),
        case("folded", with("X: a\r\n b\r\n"), BAD),
        case("bracket in a name", with("X[: a\r\n"), BAD),
        case("UTF-8 in a name", with("\u{e9}: a\r\n"), BAD),
        case("bare carriage return", with("X: a\rb\r\n"), BAD),
        case("bare line feed", with("X: a\n"), BAD),
        case("two carriage returns", with("X: a\r\r\n"), BAD),
        case("space before the first header", "POST /pay HTTP/1.1\r\n Host: pay.test\r\n\r\n", BAD),
        case("all lines end in line feeds", line("POST /pay HTTP/1.1").replace('\r', ""), BAD),
        case("UTF-8 in a value", with("X: \u{e9}\r\n"), Served),
    ]);
}

#[test]
fn floods_of_head_are_refused() {
    let many = |count: usize| "X: y\r\n".repeat(count);
    let large = Refused(&[431]);
    check(vec![
        case("a hundred headers and one", with(&many(98)), large),
        case("a thousand headers", with(&many(1000)), large),
        case("one of 70 KiB", with(&format!("X: {}\r\n", "y".repeat(70 << 10))), large),
        case(
            "one with a name of 70 KiB",
            with(&format!("{}: y\r\n", "X".repeat(70 << 10))),
            Refused(&[400, 431]),
        ),
        case("ninety of 1 KiB", with(&format!("X: {}\r\n", "y".repeat(1 << 10)).repeat(90)), large),
        case(
            "headers without end",
            &with(&format!("X: {}\r\n", "y".repeat(1 << 20)))[..1 << 20],
            large,
        ),
        case(
            "target of 100 KiB",
            line(&format!("POST /pay?{} HTTP/1.1", "x".repeat(100 << 10))),
            Refused(&[414, 431]),
        ),
        case(
            "method of 100 KiB",
            line(&format!("{} /pay HTTP/1.1", "X".repeat(100 << 10))),
            Refused(&[400, 431]),
        ),
        case("empty lines without end", "\r\n".repeat(50 << 10), large),
        case("as many headers as may be", with(&many(97)), Served),
    ]);
}

#[test]
fn other_languages_are_refused() {
    let hello = b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03\x00\x01\x02\x03\x04\x05\x06\x07";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(vec![
        case("HTTP/0.9", "GET /open\r\n\r\n", BAD),
        case("HTTP/1.2", line("POST /pay HTTP/1.2"), BAD),
        case("HTTP/2.0", line("POST /pay HTTP/2.0"), BAD),
        case("HTTP/11", line("POST /pay HTTP/11"), BAD),
        case("HTTP/01.1", line("POST /pay HTTP/01.1"), BAD),
        case("http/1.1", line("POST /pay http/1.1"), BAD),
        case("HTTQ/1.1", line("POST /pay HTTQ/1.1"), BAD),
        case("space behind the version", line("POST /pay HTTP/1.1 "), BAD),
        case("two spaces before the version", line("POST /pay  HTTP/1.1"), BAD),
        case("tab for a space", line("POST /pay\tHTTP/1.1"), BAD),
        case(
            "HTTP/1.0 in chunks",
            format!("POST /pay HTTP/1.0\r\nHost: pay.test\r\n{chunked}"),
            BAD,
        ),
        case("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Cut),
        case("TLS", hello, BAD),
        case("SSH", "SSH-2.0-OpenSSH_9.9\r\n", BAD),
        case("an answer", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", BAD),
        case("NULs", [0; 64], BAD),
    ]);
}

#[test]
fn methods_of_no_clear_meaning_are_refused() {
    check(vec![
        case("small letters", line("post /pay HTTP/1.1"), BAD),
        case("mixed letters", line("Post /pay HTTP/1.1"), BAD),
        case("small letters, open", line("get /open HTTP/1.1"), BAD),
        case("not a token", line("P@ST /pay HTTP/1.1"), BAD),
        case("a token", line("PO$T /pay HTTP/1.1"), BAD),
        case("space first", line(" POST /pay HTTP/1.1"), BAD),
        case("none", line("/pay HTTP/1.1"), BAD),
        case("CONNECT to an authority", line("CONNECT pay.test:443 HTTP/1.1"), BAD),
        case("CONNECT to our authority", line("CONNECT pay.test HTTP/1.1"), BAD),
        case("CONNECT to a path", line("CONNECT /pay HTTP/1.1"), BAD),
        case("POST to an authority", line("POST pay.test:443 HTTP/1.1"), BAD),
        case("POST to our authority", line("POST pay.test HTTP/1.1"), BAD),
        case("POST to everything", line("POST * HTTP/1.1"), BAD),
        case("GET of everything", line("GET * HTTP/1.1"), BAD),
        case("OPTIONS of everything", line("OPTIONS * HTTP/1.1"), Served),
        case("a method of the service's own", line("M-SEARCH /open HTTP/1.1"), Served),
    ]);
}

#[test]
fn a_host_that_is_none_or_two_is_refused() {
    check(vec![
        case("none", host(""), BAD),
        case("two", host("Host: pay.test\r\nHost: evil.test\r\n"), BAD),
        case("two equal ones", host("Host: pay.test\r\nHost: pay.test\r\n"), BAD),
        case("two in other spellings", host("Host: pay.test\r\nhOST: PAY.test\r\n"), BAD),
        case("empty", host("Host:\r\n"), BAD),
        case("list", host("Host: pay.test, evil.test\r\n"), BAD),
        case("space", host("Host: pay.test evil.test\r\n"), BAD),
        case("slash", host("Host: pay.test/x\r\n"), BAD),
        case("user", host("Host: evil@pay.test\r\n"), BAD),
        case("query", host("Host: pay.test?x\r\n"), BAD),
        case("fragment", host("Host: pay.test#x\r\n"), BAD),
        case("backslash", host("Host: pay.test\\x\r\n"), BAD),
        case("quote", host("Host: \"pay.test\"\r\n"), BAD),
        case("two ports", host("Host: pay.test:80:81\r\n"), BAD),
        case("half an address", host("Host: [::1\r\n"), BAD),
        case("port alone", host("Host: :80\r\n"), BAD),
        case("UTF-8", host("Host: p\u{e9}y.test\r\n"), BAD),
        case("folded", host("Host:\r\n pay.test\r\n"), BAD),
        case("with a port", host("Host: pay.test:8080\r\n"), Served),
        case("address", host("Host: [::1]:80\r\n").replace("Key: k", "Key: v6"), Served),
    ]);
}

#[test]
fn a_target_that_contradicts_its_host_is_refused() {
    let old = "POST http://pay.test/pay HTTP/1.0\r\nContent-Length: 0\r\n\r\n";
    check(vec![
        case("another host", line("POST http://evil.test/pay HTTP/1.1"), BAD),
        case("another host, open", line("GET http://evil.test/open HTTP/1.1"), BAD),
        case("another port", line("POST http://pay.test:81/pay HTTP/1.1"), BAD),
        case("user", line("POST http://me@pay.test/pay HTTP/1.1"), BAD),
        case("user and password", line("POST http://me:x@pay.test/pay HTTP/1.1"), BAD),
        case("another protocol", line("POST ftp://pay.test/pay HTTP/1.1"), BAD),
        case("file", line("POST file:///pay HTTP/1.1"), BAD),
        case("no host inside", line("POST http:///pay HTTP/1.1"), BAD),
        case("no path and no scheme", line("POST pay HTTP/1.1"), BAD),
        case("without a Host", old, BAD),
        case("the same", line("POST http://pay.test/pay HTTP/1.1"), Served),
    ]);
}

#[test]
fn only_what_belongs_to_a_stored_answer_is_taken_on_a_protected_path() {
    check(vec![
        case("websocket", with("Connection: upgrade\r\nUpgrade: websocket\r\n"), BAD),
        case(
            "HTTP/2, as java.net.http asks",
            with("Connection: upgrade\r\nUpgrade: h2c\r\n"),
            Served,
        ),
        case("trailers to come", with("Trailer: X\r\n"), BAD),
        case(
            "two types",
            with("Content-Type: text/plain\r\nContent-Type: application/json\r\n"),
            BAD,
        ),
        case(
            "trailers",
            line("POST /pay HTTP/1.1").replace("Content-Length: 0", "Transfer-Encoding: chunked")
                + "2\r\n{}\r\n0\r\nX: y\r\n\r\n",
            BAD,
        ),
    ]);
}

#[test]
fn nobody_tunnels_http_past_us() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    for wish in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.3"] {
        let mut wire = Wire::open(onceward.address);
        let call = Call::get("/open").header("Connection", "upgrade");
        wire.send(&call.header("Upgrade", wish).bytes());
        assert_eq!(wire.reply().expect("an answer").status, 200, "{wish}");
        let passed = upstream.requests().pop().expect("a request");
        assert_eq!(passed.header("upgrade"), None, "{wish}");
    }
}

#[test]
fn nobody_speaks_in_our_name() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    let claims = [
        "Onceward-Fence",
        "Onceward_Fence",
        "oncewARD-state",
        "Idempotent-Replayed",
        "Idempotent_Replayed",
        "Idempotency_Key",
        "X_Forwarded_For",
    ];
    let call = |call: Call| claims.iter().fold(call, |call, name| call.header(name, "666"));
    assert_eq!(call(Call::pay("k")).send(onceward.address).status, 200);
    assert_eq!(call(Call::get("/open")).send(onceward.address).status, 200);
    for request in upstream.requests() {
        let taken = request.headers.iter().find(|(_, value)| value.contains("666"));
        assert_eq!(taken, None);
    }
}
