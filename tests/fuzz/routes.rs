//! ROUTES, as somebody wrote it in a hurry.

use super::{Target, led_to};
use hyper::Method;
use onceward::config::{Config, Problems};
use std::collections::HashMap;

/// Either every problem is told by a name and a sentence, or there are routes, by different names,
/// and any path finds one or none.
#[test]
fn routes() {
    let words: [&[u8]; 30] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"name\":\"a\"",
        b"\"path\":\"/a/*\"",
        b"\"key\":",
        b"\"header:X\"",
        b"\"json:/a\"",
        b"\"kind\":\"callback\"",
        b"\"preset\":\"alipay-notify\"",
        b"\"preset\":\"wechat-micropay\"",
        b"\"settles\":\"a\"",
        b"\"event\":",
        b"\"outcome\":",
        b"\"means\":\"unknown\"",
        b"\"status\":[200]",
        b"\"query\":",
        b"\"cancel\":",
        b"\"method\":\"GET\"",
        b"\"lock_ttl\":\"10s\"",
        b"\"max_request_body\":\"1MiB\"",
        b"\"methods\":[\"POST\"]",
        b"{key}",
        b"null",
        b"-1",
        b"\"0s\"",
        b"\"\"",
    ];
    Target { name: "routes", words: &words, runs: 3_000 }.fuzz(|text| {
        let text = String::from_utf8_lossy(text).into_owned();
        // Anything else is a file's name.
        if !text.starts_with(['[', '{']) {
            return 0;
        }
        let environment = HashMap::from([("ONCEWARD_ROUTES".to_owned(), text)]);
        match Config::load(&environment) {
            Ok(config) => {
                let names: Vec<_> =
                    config.routes.0.iter().map(|route| route.name.clone()).collect();
                let mut different = names.clone();
                different.sort();
                different.dedup();
                assert_eq!(different.len(), names.len(), "two routes of one name");
                let found = ["/", "/a/b", "/order/pay", "/a"].map(|path| {
                    config.routes.find(&Method::POST, path).map(|(route, _)| route.name.len())
                });
                led_to((names.len(), found))
            }
            Err(Problems(problems)) => {
                assert!(!problems.is_empty());
                for problem in &problems {
                    assert!(!problem.at.is_empty() && !problem.what.is_empty(), "{problem:?}");
                }
                led_to(problems.iter().map(|problem| problem.what.len() / 4).collect::<Vec<_>>())
            }
        }
    });
}
