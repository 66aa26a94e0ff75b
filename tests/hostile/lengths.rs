//! Where a request ends: lengths, chunks and the lines of a head.

use super::table::{Case, Expect, case, check};
use Expect::{Refused, Served};

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// A protected payment with these header lines and whatever follows them.
fn pay(lines: &str, rest: &str) -> String {
    let key = "Idempotency-Key: k\r\n";
    format!("POST /pay HTTP/1.1\r\nHost: pay.test\r\n{key}{lines}\r\n{rest}")
}

/// The same, not protected.
fn open(lines: &str, rest: &str) -> String {
    format!("POST /open HTTP/1.1\r\nHost: pay.test\r\n{lines}\r\n{rest}")
}

/// Each of them twice: on a protected path and on an open one.
fn both(cases: &[(&str, &str, &str)], expect: Expect) -> Vec<Case> {
    let twice = |(name, lines, rest): &(&str, &str, &str)| {
        [
            case(name, pay(lines, rest), expect),
            case(&format!("{name}, open"), open(lines, rest), expect),
        ]
    };
    cases.iter().flat_map(twice).collect()
}

#[test]
fn a_length_told_in_two_ways_is_refused() {
    let end = "0\r\n\r\n";
    check(both(
        &[
            ("length, then chunked", &format!("Content-Length: 5\r\n{CHUNKED}"), end),
            ("chunked, then length", &format!("{CHUNKED}Content-Length: 5\r\n"), end),
            ("length 0 and chunked", &format!("Content-Length: 0\r\n{CHUNKED}"), end),
            ("odd case", "cOnTeNt-LeNgTh: 5\r\ntRaNsFeR-eNcOdInG: ChUnKeD\r\n", end),
            ("chunked, then a bad length", &format!("{CHUNKED}Content-Length: x\r\n"), end),
            (
                "many lines between",
                &format!("Content-Length: 5\r\n{}{CHUNKED}", "X: y\r\n".repeat(80)),
                end,
            ),
            ("two equal lengths", "Content-Length: 2\r\nContent-Length: 2\r\n", "{}"),
            ("two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n", "{}x"),
            ("equal lengths in a list", "Content-Length: 2, 2\r\n", "{}"),
            ("lengths in a list", "Content-Length: 2,3\r\n", "{}x"),
            ("a second spelling of length", "Content-Length: 2\r\nContent_Length: 3\r\n", "{}"),
            (
                "a second spelling of chunked",
                "Content-Length: 2\r\nTransfer_Encoding: chunked\r\n",
                "{}",
            ),
        ],
        Refused(&[400]),
    ));
}

#[test]
fn a_malformed_length_is_refused() {
    check(both(
        &[
            ("negative", "Content-Length: -1\r\n", ""),
            ("plus", "Content-Length: +2\r\n", "{}"),
            ("hexadecimal", "Content-Length: 0x2\r\n", "{}"),
            ("fraction", "Content-Length: 2.0\r\n", "{}"),
            ("exponent", "Content-Length: 1e1\r\n", "{}"),
            ("two numbers", "Content-Length: 2 2\r\n", "{}"),
            ("parameter", "Content-Length: 2;a\r\n", "{}"),
            ("empty", "Content-Length:\r\n", "{}"),
            ("blank", "Content-Length:   \r\n", "{}"),
            ("other digits", "Content-Length: \u{662}\r\n", "{}"),
            ("vertical tab", "Content-Length: \u{b}2\r\n", "{}"),
            ("space before the colon", "Content-Length : 2\r\n", "{}"),
            ("too far to the right", &format!("Content-Length:{}2\r\n", " ".repeat(60)), "{}"),
            ("too many zeros", &format!("Content-Length: {}2\r\n", "0".repeat(80)), "{}"),
            ("overflow", "Content-Length: 18446744073709551616\r\n", "{}"),
            ("overflow by far", &format!("Content-Length: {}\r\n", "9".repeat(40)), "{}"),
        ],
        Refused(&[400]),
    ));
    check(both(
        &[("the most there is", "Content-Length: 18446744073709551615\r\n", "{}")],
        Refused(&[400, 413, 431]),
    ));
}

#[test]
fn an_encoding_other_than_chunked_is_refused() {
    let end = "0\r\n\r\n";
    check(both(
        &[
            ("identity", "Transfer-Encoding: identity\r\n", ""),
            ("identity and length", "Transfer-Encoding: identity\r\nContent-Length: 2\r\n", "{}"),
            ("gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n", end),
            ("chunked, gzip", "Transfer-Encoding: chunked, gzip\r\n", end),
            ("chunked in a list", "Transfer-Encoding: chunked, chunked\r\n", end),
            ("chunked twice", &CHUNKED.repeat(2), end),
            (
                "identity line, chunked line",
                &format!("Transfer-Encoding: identity\r\n{CHUNKED}"),
                end,
            ),
            (
                "chunked line, identity line",
                &format!("{CHUNKED}Transfer-Encoding: identity\r\n"),
                end,
            ),
            ("almost chunked", "Transfer-Encoding: xchunked\r\n", end),
            ("list with a hole", "Transfer-Encoding: ,chunked\r\n", end),
            ("parameter", "Transfer-Encoding: chunked;q=1\r\n", end),
            ("quoted", "Transfer-Encoding: \"chunked\"\r\n", end),
            ("empty", "Transfer-Encoding:\r\n", end),
            ("NUL behind", "Transfer-Encoding: chunked\0\r\n", end),
            ("vertical tab before", "Transfer-Encoding: \u{b}chunked\r\n", end),
            ("no-break space before", "Transfer-Encoding: \u{a0}chunked\r\n", end),
            ("space before the colon", "Transfer-Encoding : chunked\r\n", end),
            ("tab before the colon", "Transfer-Encoding\t: chunked\r\n", end),
            ("space before the name", "X: y\r\n Transfer-Encoding: chunked\r\n", end),
            ("folded", "Transfer-Encoding:\r\n chunked\r\n", end),
            ("folded away", "X: y\r\n\tTransfer-Encoding: chunked\r\n", end),
            ("behind a bare line feed", "X: y\nTransfer-Encoding: chunked\r\n", end),
            ("behind a bare carriage return", "X: y\rTransfer-Encoding: chunked\r\n", end),
        ],
        Refused(&[400]),
    ));
}

#[test]
fn malformed_chunks_are_refused() {
    let flood = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(20 * 1024));
    let long = format!("0\r\nX: {}\r\n\r\n", "y".repeat(80 * 1024));
    let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(200));
    let bodies = [
        ("no number", "zz\r\na\r\n0\r\n\r\n"),
        ("negative", "-1\r\na\r\n0\r\n\r\n"),
        ("plus", "+1\r\na\r\n0\r\n\r\n"),
        ("prefix", "0x1\r\na\r\n0\r\n\r\n"),
        ("overflow", "fffffffffffffffff\r\na\r\n0\r\n\r\n"),
        ("overflow back to one", "10000000000000001\r\na\r\n0\r\n\r\n"),
        ("no size", "\r\na\r\n0\r\n\r\n"),
        ("space before", " 1\r\na\r\n0\r\n\r\n"),
        ("space inside", "1 1\r\na\r\n0\r\n\r\n"),
        ("size ends in a line feed", "1\na\r\n0\r\n\r\n"),
        ("size ends in a carriage return", "1\ra\r\n0\r\n\r\n"),
        ("line feed in an extension", "1;x\ny\r\na\r\n0\r\n\r\n"),
        ("too much in it", "1\r\nab\r\n0\r\n\r\n"),
        ("chunk ends in a line feed", "1\r\na\n0\r\n\r\n"),
        ("extensions without end", &flood),
        ("trailer without a colon", "0\r\nno trailer\r\n\r\n"),
        ("trailer without a name", "0\r\n: y\r\n\r\n"),
        ("trailers without end", &long),
        ("trailers without number", &many),
    ];
    let cases: Vec<_> = bodies.iter().map(|(name, body)| (*name, CHUNKED, *body)).collect();
    check(both(&cases, Refused(&[400])));
}

#[test]
fn the_second_request_of_a_connection_is_looked_at_like_the_first() {
    let twofold = pay(&format!("Content-Length: 5\r\n{CHUNKED}"), "0\r\n\r\n");
    let get = "GET /open HTTP/1.1\r\nHost: pay.test\r\n\r\n";
    let sized = open("Content-Length: 5\r\n", "ab\r\n\r");
    let chunked = open(CHUNKED, "3;x=\"y\"\r\na\r\n\r\n0\r\n\r\n");
    let first_key = "Idempotency-Key: first\r\nContent-Length: 2\r\n";
    let paid = format!("POST /pay HTTP/1.1\r\nHost: pay.test\r\n{first_key}\r\n{{}}");
    let behind =
        |name: &str, first: &str| case(name, &twofold, Refused(&[400])).behind(first.as_bytes());
    // Two requests to whoever reads the length its own way.
    let hidden = format!("x\r\nContent-Length: 99\r\n\r\n{twofold}");
    let padded = format!("Content-Length:{}{}\r\n", " ".repeat(70), hidden.len());
    check(vec![
        behind("behind a GET", get),
        behind("behind a body", &sized),
        behind("behind chunks", &chunked),
        behind("behind a payment", &paid),
        behind("behind three", get).behind(chunked.as_bytes()).behind(sized.as_bytes()),
        behind("behind empty lines", &format!("\r\n\r\n{get}\r\n\r\n")),
        case("hidden by a padded length", open(&padded, &hidden), Refused(&[400])),
        case(
            "hidden by a bare line feed",
            open(CHUNKED, &format!("0\r\nX: y\n\r\n{twofold}")),
            Refused(&[400]),
        ),
        case(
            "a request in the body of one refused",
            pay("Content-Length: +0\r\n", get),
            Refused(&[400]),
        ),
    ]);
}

#[test]
fn bytes_that_only_look_hostile_are_served() {
    let body = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\n";
    let sized = format!("Content-Length: {}\r\n", body.len());
    let chunk = format!("{:X};x=y\r\n{body}\r\n00\r\n\r\n", body.len());
    check(vec![
        case("a body that looks like a head", open(&sized, body), Served),
        case("a chunk that looks like a head", open(CHUNKED, &chunk), Served),
        case("tab before chunked", open("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"), Served),
        case(
            "spaces behind chunked",
            open("Transfer-Encoding: chunked  \r\n", "0\r\n\r\n"),
            Served,
        ),
        case("leading zeros", open("Content-Length: 002\r\n", "{}"), Served),
        case("empty lines first", format!("\r\n\r\n{}", open("Content-Length: 0\r\n", "")), Served),
        case("trailers where nothing is stored", open(CHUNKED, "0\r\nX: y\r\n\r\n"), Served),
    ]);
}
