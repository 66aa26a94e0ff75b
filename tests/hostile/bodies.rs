//! Keys that are none, and bodies that are not what they say.

use super::table::{Case, Expect, case, check};
use Expect::{Refused, Served, Told};

const BAD: Expect = Refused(&[400]);
const NO_KEY: Expect = Told("key-invalid");

/// A payment with these lines for its key.
fn key(lines: &[u8]) -> Vec<u8> {
    let start = b"POST /pay HTTP/1.1\r\nHost: pay.test\r\nContent-Length: 2\r\n";
    [start, lines, b"\r\n{}"].concat()
}

/// A payment to that target with that body.
fn post(target: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: pay.test\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn json(name: &str, body: impl AsRef<[u8]>, expect: Expect) -> Case {
    case(name, post("/json", "application/json", body.as_ref()), expect)
}

fn form(name: &str, body: &str, expect: Expect) -> Case {
    let kind = "application/x-www-form-urlencoded";
    case(name, post("/form", kind, body.as_bytes()), expect)
}

fn xml(name: &str, body: &str, expect: Expect) -> Case {
    case(name, post("/xml", "text/xml", body.as_bytes()), expect)
}

#[test]
fn a_key_header_that_is_no_key_is_refused() {
    let long = |count: usize| format!("Idempotency-Key: {}\r\n", "k".repeat(count));
    check(vec![
        case("none", key(b""), Told("key-missing")),
        case("two", key(b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n"), NO_KEY),
        case("two equal ones", key(b"Idempotency-Key: a\r\nidempotency-key: a\r\n"), NO_KEY),
        case("list", key(b"Idempotency-Key: a, b\r\n"), NO_KEY),
        case("list of strings", key(b"Idempotency-Key: \"a\", \"b\"\r\n"), NO_KEY),
        case("empty", key(b"Idempotency-Key:\r\n"), NO_KEY),
        case("empty string", key(b"Idempotency-Key: \"\"\r\n"), NO_KEY),
        case("opened only", key(b"Idempotency-Key: \"a\r\n"), NO_KEY),
        case("closed only", key(b"Idempotency-Key: a\"\r\n"), NO_KEY),
        case("bad escape", key(b"Idempotency-Key: \"a\\n\"\r\n"), NO_KEY),
        case("parameter", key(b"Idempotency-Key: \"a\";b=c\r\n"), NO_KEY),
        case("space inside", key(b"Idempotency-Key: a b\r\n"), NO_KEY),
        case("tab inside", key(b"Idempotency-Key: \"a\tb\"\r\n"), NO_KEY),
        case("UTF-8", key("Idempotency-Key: \u{e9}\r\n".as_bytes()), NO_KEY),
        case("no UTF-8", key(b"Idempotency-Key: \xff\r\n"), NO_KEY),
        case("256 characters", key(long(256).as_bytes()), NO_KEY),
        case("60 KiB", key(long(60 << 10).as_bytes()), NO_KEY),
        case("255 characters", key(long(255).as_bytes()), Served),
    ]);
}

#[test]
fn json_without_one_clear_key_is_refused() {
    check(vec![
        json("absent", r#"{"order":"a"}"#, Told("key-missing")),
        json("no body", "", Told("key-missing")),
        json("twice", r#"{"orderId":"a","orderId":"b"}"#, NO_KEY),
        json("twice, equal", r#"{"orderId":"a","orderId":"a"}"#, NO_KEY),
        json("twice by an escape", r#"{"orderId":"a","\u006frderId":"b"}"#, NO_KEY),
        json("null", r#"{"orderId":null}"#, NO_KEY),
        json("bool", r#"{"orderId":true}"#, NO_KEY),
        json("fraction", r#"{"orderId":1.0}"#, NO_KEY),
        json("exponent", r#"{"orderId":1e3}"#, NO_KEY),
        json("array", r#"{"orderId":["a"]}"#, NO_KEY),
        json("object", r#"{"orderId":{"a":1}}"#, NO_KEY),
        json("empty", r#"{"orderId":""}"#, NO_KEY),
        json("space inside", r#"{"orderId":"a b"}"#, NO_KEY),
        json("NUL by an escape", r#"{"orderId":"a\u0000"}"#, NO_KEY),
        json("UTF-8", "{\"orderId\":\"\u{e9}\"}", NO_KEY),
        json("256 digits", format!("{{\"orderId\":{}}}", "1".repeat(256)), NO_KEY),
        json("digits", r#"{"orderId":9007199254740993}"#, Served),
        json("byte order mark", "\u{feff}{\"orderId\":\"a\"}", Served),
    ]);
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    const MOST: usize = 1 << 20;
    check(vec![
        json("1 MiB of open brackets", "[".repeat(MOST), BAD),
        json("1 MiB of open members", r#"{"a":"#.repeat(MOST / 5), BAD),
        json(
            "deep beside the key",
            format!(r#"{{"orderId":"a","b":{}{}}}"#, "[".repeat(100), "]".repeat(100)),
            BAD,
        ),
        json("no UTF-8 in the key", b"{\"orderId\":\"a\xff\"}", BAD),
        json("no UTF-8 elsewhere", b"{\"orderId\":\"a\",\"b\":\"\xc3\"}", BAD),
        json("overlong UTF-8", b"{\"orderId\":\"a\",\"b\":\"\xc0\xaf\"}", BAD),
        json("a surrogate in UTF-8", b"{\"orderId\":\"a\",\"b\":\"\xed\xa0\x80\"}", BAD),
        json("UTF-16", b"{\0\"\0o\0\"\0:\x001\0}\0", BAD),
        json("half a surrogate pair", r#"{"orderId":"a","b":"\ud800"}"#, BAD),
        json("truncated", r#"{"orderId":"a""#, BAD),
        json("more behind it", r#"{"orderId":"a"}{"orderId":"b"}"#, BAD),
        json("NUL behind it", "{\"orderId\":\"a\"}\0", BAD),
        json("comment", r#"{"orderId":"a"/*,"orderId":"b"*/}"#, BAD),
        json("comma too many", r#"{"orderId":"a",}"#, BAD),
        json("single quotes", "{'orderId':'a'}", BAD),
        json("not a number", r#"{"orderId":"a","b":NaN}"#, BAD),
        json("leading zero", r#"{"orderId":01}"#, BAD),
        json("line feed in a string", "{\"orderId\":\"a\n\"}", BAD),
    ]);
}

#[test]
fn forms_and_queries_without_one_clear_key_are_refused() {
    let query = |name: &str, query: &str, expect| {
        case(name, post(&format!("/query?{query}"), "text/plain", b""), expect)
    };
    check(vec![
        form("twice", "trade=a&trade=b", NO_KEY),
        form("twice by an escape", "trade=a&%74rade=b", NO_KEY),
        form("empty", "trade=&b=c", NO_KEY),
        form("plus is a space", "trade=a+b", NO_KEY),
        form("bad escape", "trade=a%zz", BAD),
        form("half an escape", "trade=a%4", BAD),
        form("no UTF-8", "trade=%ff", BAD),
        form("bad escape in a name", "%zz=b&trade=a", BAD),
        form("absent", "a=b", Told("key-missing")),
        query("query, twice", "trade=a&trade=b", NO_KEY),
        query("query, twice by an escape", "trade=a&tr%61de=b", NO_KEY),
        query("query, bad escape", "trade=%zz", BAD),
        query("query, absent", "a=b", Told("key-missing")),
        case("path, space", post("/orders/%20/pay", "text/plain", b""), NO_KEY),
        case("path, UTF-8", post("/orders/%E8%AE%A2/pay", "text/plain", b""), NO_KEY),
    ]);
}

#[test]
fn xml_without_one_clear_key_is_refused() {
    let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><x><trade>&b;</trade></x>"#;
    let file = r#"<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x><trade>&a;</trade></x>"#;
    check(vec![
        xml("document type", "<!DOCTYPE x><x><trade>a</trade></x>", BAD),
        xml("entity bomb", bomb, BAD),
        xml("a file's content", file, BAD),
        xml("unknown entity", "<x><trade>&a;</trade></x>", BAD),
        xml("twice", "<x><trade>a</trade><trade>b</trade></x>", NO_KEY),
        xml("twice by a namespace", "<x><trade>a</trade><n:trade>b</n:trade></x>", NO_KEY),
        xml("nested", "<x><trade><trade>a</trade></trade></x>", BAD),
        xml("unclosed", "<x><trade>a</trade>", BAD),
        xml("crossed", "<x><trade>a</x></trade>", BAD),
        xml("two roots", "<x><trade>a</trade></x><x/>", BAD),
        xml(
            "another encoding",
            r#"<?xml version="1.0" encoding="UTF-16"?><x><trade>a</trade></x>"#,
            BAD,
        ),
        xml("100,000 deep", &"<x>".repeat(100_000), BAD),
        xml("absent", "<x/>", Told("key-missing")),
        xml("in CDATA", "<x><trade><![CDATA[a]]></trade></x>", Served),
    ]);
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let large = Refused(&[413]);
    let head = |lines: &str| {
        let key = "Idempotency-Key: k\r\n";
        format!("POST /pay HTTP/1.1\r\nHost: pay.test\r\n{key}{lines}\r\n")
    };
    let sized = |length: u64| head(&format!("Content-Length: {length}\r\n"));
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let chunks = head("Transfer-Encoding: chunked\r\n") + &chunk.repeat(3);
    check(vec![
        case("announced, not sent", sized(65537), large),
        case("1 GiB announced", sized(1 << 30) + "x", large),
        case("more than there is", sized(u64::MAX - 2), large),
        // All of it is heard out, so that the answer is not lost.
        case("4 MiB sent", sized(4 << 20) + &"x".repeat(4 << 20), large),
        case("in chunks without end", &chunks, large),
        case(
            "in a chunk of 1 TiB",
            head("Transfer-Encoding: chunked\r\n") + "10000000000\r\n" + &"x".repeat(1 << 20),
            large,
        ),
        case(
            "waiting to be asked",
            head("Content-Length: 1000000\r\nExpect: 100-continue\r\n"),
            large,
        ),
        case(
            "for a token",
            post("/_onceward/tokens", "application/json", &[b' '; 65 << 10]),
            large,
        ),
        case("as large as may be", sized(65536) + &"x".repeat(65536), Served),
    ]);
}
