//! Paths: no other spelling of a protected path slips past, and no spelling leads to two places.

use super::table::{Expect, case, check};
use Expect::{Refused, Served, Told};

/// A payment to that target, without a key.
fn post(target: &[u8]) -> Vec<u8> {
    let rest = b" HTTP/1.1\r\nHost: pay.test\r\nContent-Length: 0\r\n\r\n";
    [b"POST ", target, rest].concat()
}

#[test]
fn every_spelling_of_a_protected_path_is_protected() {
    let spellings = [
        "/pay",
        "/pay/",
        "/pay?",
        "/pay?x=/open",
        "/pay#x",
        "//pay",
        "///pay",
        "/./pay",
        "/pay/.",
        "/x/../pay",
        "/../pay",
        "/pay/x/..",
        "/%70ay",
        "/%70%61%79",
        "/%2e/pay",
        "/x/%2e%2E/pay",
        "/pay;x=1",
        "/;x/pay",
        "/pay;/",
        "/pay/;x",
        "http://pay.test/pay",
        "HTTP://PAY.TEST//x/../%70ay",
    ];
    let cases = spellings
        .iter()
        .map(|spelling| case(spelling, post(spelling.as_bytes()), Told("key-missing")));
    check(cases.collect());
}

#[test]
fn a_path_that_could_be_read_in_two_ways_is_refused() {
    let bad = Refused(&[400]);
    let text = [
        "/x/..;/pay",
        "/..;/pay",
        "/.;x/pay",
        "/x/%2e%2e;/pay",
        "/pay%",
        "/pay%7",
        "/pay%zz",
        "/pay%00",
        "/pay%0d%0aX:y",
        "/pay%1f",
        "/pay%7f",
        "/p%ffay",
        "/%c0%afpay",
        "/pay x",
        "/pay\t",
        "/pay\0",
        "/pay\u{1}",
        "/pay\u{7f}",
        "/<pay>",
        "",
        "pay",
        "?pay",
        "\\pay",
        // To whoever takes other things for slashes, or a second slash for the start of a host.
        "/x%2F..%2Fpay",
        "/x%2f%2e%2e/pay",
        "/x\\..\\pay",
        "/\\pay",
        "/.%5Cpay",
        "//x/pay",
        "/\\x/pay",
        // Another order to them.
        "/orders/a%2F..%2Fb/pay",
        "/orders/a%5C..%5Cb/pay",
        "//x/orders/a/pay",
    ];
    let mut cases: Vec<_> =
        text.iter().map(|path| case(&format!("{path:?}"), post(path.as_bytes()), bad)).collect();
    cases.push(case("Latin-1", post(b"/p\xe9y"), bad));
    cases.push(case("half a character", post(b"/pay\xe2\x82"), bad));
    check(cases);
}

#[test]
fn other_paths_are_served() {
    let paths = [
        "/open/%E8%AE%A2",
        "/open/\u{8ba2}",
        "/open%2Fpay",
        "/open\\x",
        "//open",
        "//x/open",
        "/pay%252F",
        "/PAY/x",
    ];
    let cases = paths.iter().map(|path| case(path, post(path.as_bytes()), Served));
    let slashed = case("a key with a slash", post(b"/orders/a%2Fb/pay"), Served);
    check(cases.chain([slashed]).collect());
}
