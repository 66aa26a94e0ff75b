//! What a configuration may say, and what is said about a bad one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::model::source::Source;
use crate::route::{OnUnknown, TokenUse};
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

fn load(vars: &[(&str, &str)]) -> Result<Config, Problems> {
    let environment: HashMap<String, String> =
        vars.iter().map(|(name, value)| (format!("ONCEWARD_{name}"), (*value).into())).collect();
    Config::load(&environment)
}

fn problems(vars: &[(&str, &str)]) -> Vec<String> {
    match load(vars) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// Exactly one problem, and it says so.
fn check_bad(name: &str, value: &str, says: &str) {
    let problems = problems(&[(name, value)]);
    assert_eq!(problems.len(), 1, "{name}={value}: {problems:?}");
    assert!(problems[0].starts_with(&format!("ONCEWARD_{name}")), "{problems:?}");
    assert!(problems[0].contains(says), "{problems:?}");
}

#[test]
fn without_variables_the_defaults_are_in_force() {
    let config = load(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.upstream, "127.0.0.1:8081");
    for (url, authority) in [("http://x", "x:80"), ("http://[::1]/", "[::1]:80")] {
        assert_eq!(load(&[("UPSTREAM", url)]).unwrap().upstream, authority);
    }
    let route = &config.routes.0[0];
    assert_eq!(&*route.name, "default");
    assert_eq!(route.tuning.lock_ttl, Duration::from_secs(30));
    assert_eq!(route.tuning.unknown_ttl, Duration::from_secs(168 * 3600));
    assert_eq!(route.tuning.max_request_body, 1 << 20);
    assert_eq!(route.tuning.token, TokenUse::Off);
}

#[test]
fn every_problem_is_told_at_once_and_by_its_name() {
    let problems = problems(&[
        ("LISTEN", "nowhere"),
        ("LOCK_TTL", "soon"),
        ("TOKEN", "maybe"),
        ("MAX_REQUEST_BODY", "1MB"),
        ("REDIS_TIMEOUT", "0s"),
    ]);
    let names: Vec<_> = problems.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "ONCEWARD_LOCK_TTL",
            "ONCEWARD_TOKEN",
            "ONCEWARD_MAX_REQUEST_BODY",
            "ONCEWARD_LISTEN",
            "ONCEWARD_REDIS_TIMEOUT"
        ]
    );
}

#[test]
fn bad_values_are_refused_with_what_was_expected() {
    check_bad("UPSTREAM", "https://x:1", "expected http://host:port");
    check_bad("UPSTREAM", "http://x:1/path", "without a path");
    check_bad("REDIS_URL", "http://x", "expected redis://");
    check_bad("REDIS_URL", "redis://a,redis://b", "takes one URL");
    check_bad("REDIS_URL", "rediss://a/#insecure", "#insecure is not supported");
    check_bad("REDIS_CA_FILE", "/no/such/file", "cannot be read");
    check_bad("REDIS_MODE", "ring", "expected one of standalone, sentinel, cluster");
    check_bad("KEY", "cookie:x", "is no source");
    check_bad("METHODS", "post", "capitals");
    check_bad("METHODS", "", "names no method");
    check_bad("KEY", "json:/a/~2", "~ as ~0");
    check_bad("KEY", "xml:a/b", "the name of one element");
    check_bad("KEY", "header:Idempotency-Key,path:id", "the path /* has no {id}");
    check_bad("UPSTREAM", "http://x:0", "a port from 1 to 65535");
    check_bad("UPSTREAM", "http://x:65536", "a port from 1 to 65535");
    check_bad("UPSTREAM", "http://[::1]:99999", "a port from 1 to 65535");
    check_bad("UPSTREAM", "http://x:", "a port from 1 to 65535");
    check_bad("REDIS_URL", "redis://h/-1", "a number from 0");
    check_bad("REDIS_URL", "unix:///run/redis.sock?db=-1", "a number from 0");
    check_bad("REPLAY_HEADER", "Content-Length", "belongs to the connection");
    check_bad("REPLAY_HEADER", "onceward-state", "means something else already");
    check_bad("FINGERPRINT_IGNORE", "sign,json:/n", "write /nonce");
    check_bad("FINGERPRINT_IGNORE", "/a/~2", "~ as ~0");
    check_bad("LOCK_TTL", "1ms", "at least 100ms");
    check_bad("NAMESPACE", "a{b}", "expected 1 to 64");
    check_bad("PREFIX", "/", "expected a path");
    check_bad("SECRET", "short", "");
    check_bad("LOG", "onceward=loud=", "");
    check_bad("LOG", "warning", "no level: there are off, error, warn");
    check_bad("ROUTES", "/no/such/file", "cannot be read");
    check_bad("ROUTES", "[", "not JSON");
    check_bad("ROUTES", "[]", "nothing would be protected");
}

#[test]
fn no_duration_is_too_long_to_be_counted() {
    let times = vars::VARS.iter().filter(|var| var.default != "0" && duration(var.default).is_ok());
    let (mut seen, longest) = (0, humantime::format_duration(units::LONGEST).to_string());
    for var in times {
        check_bad(var.name, "18446744073709551615s", "must be at most 100years");
        let long = [(var.name, &*longest), ("UNKNOWN_TTL", "100years")];
        // An order must be kept for longer than all of this takes.
        assert!(load(&long).is_ok(), "{}", var.name);
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");
    let routes = r#"{"lifecycles": {"o": {"start": "a", "moves": [["a", "b"]], "ttl": "101years"}},
        "routes": [{"name": "a", "path": "/a", "lock_ttl": "101years", "cancel_delay": "101years",
                    "first_query": "101years"}]}"#;
    let told = problems(&[("ROUTES", routes)]);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|told| told.ends_with(": must be at most 100years")), "{told:?}");
}

#[test]
fn the_two_planes_do_not_share_a_port() {
    let told = |data: &str, admin: &str| problems(&[("LISTEN", data), ("ADMIN_LISTEN", admin)]);
    for (data, admin) in [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("127.0.0.1:8080", "0.0.0.0:8080"),
        ("0.0.0.0:8080", "[::]:8080"),
        ("[::]:8080", "127.0.0.1:8080"),
        ("[::1]:8080", "[::]:8080"),
        ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080"),
    ] {
        let told = told(data, admin);
        assert_eq!(told.len(), 1, "{data} {admin}: {told:?}");
        assert!(told[0].starts_with("ONCEWARD_ADMIN_LISTEN: shares "), "{told:?}");
    }
    for (data, admin) in [
        ("127.0.0.1:8080", "127.0.0.1:8082"),
        ("127.0.0.1:8080", "127.0.0.2:8080"),
        ("0.0.0.0:8080", "[::1]:8080"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        assert_eq!(told(data, admin), [""; 0], "{data} {admin}");
    }
}

#[test]
fn upstream_is_neither_of_the_two_planes() {
    let told = |listen: &str, upstream: &str| {
        let listen = [("LISTEN", listen), ("ADMIN_LISTEN", "127.0.0.1:0"), ("UPSTREAM", upstream)];
        let swapped = listen.map(|(name, value)| match name {
            "LISTEN" => ("ADMIN_LISTEN", value),
            "ADMIN_LISTEN" => ("LISTEN", value),
            _ => (name, value),
        });
        [("ONCEWARD_LISTEN", problems(&listen)), ("ONCEWARD_ADMIN_LISTEN", problems(&swapped))]
    };
    for (listen, upstream) in [
        ("127.0.0.1:80", "http://127.0.0.1"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", "http://127.0.0.2:8080"),
        ("0.0.0.0:8080", "http://LocalHost:8080/"),
        ("0.0.0.0:8080", "http://0.0.0.0:8080"),
        ("127.0.0.1:8080", "http://0.0.0.0:8080"),
        ("[::]:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("[::1]:8080", "http://[::]:8080"),
        ("[::1]:8080", "http://localhost:8080"),
        ("127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080"),
        ("10.0.0.1:8080", "http://10.0.0.1:8080"),
    ] {
        for (variable, told) in told(listen, upstream) {
            assert_eq!(told.len(), 1, "{listen} {upstream}: {told:?}");
            assert!(told[0].starts_with("ONCEWARD_UPSTREAM: "), "{told:?}");
            assert!(told[0].contains(&format!("own {variable}, {listen}")), "{told:?}");
        }
    }
    for (listen, upstream) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8081"),
        ("127.0.0.1:8080", "http://127.0.0.2:8080"),
        ("0.0.0.0:8080", "http://[::1]:8080"),
        ("0.0.0.0:8080", "http://10.0.0.1:8080"),
        ("0.0.0.0:8080", "http://payments:8080"),
        ("127.0.0.1:0", "http://127.0.0.1:8080"),
    ] {
        for (_, told) in told(listen, upstream) {
            assert_eq!(told, [""; 0], "{listen} {upstream}");
        }
    }
    assert!(problems(&[("LISTEN", "0.0.0.0:8081")])[0].contains("own ONCEWARD_LISTEN"));
}

#[test]
fn a_secret_is_never_in_a_problem_or_on_the_screen() {
    let config = load(&[
        ("ADMIN_TOKEN", "s3cret"),
        ("REDIS_URL", "redis://user:s3cret@h:1/0"),
        ("SECRET", "s3cret-s3cret-s3cret"),
    ]);
    let shown = format!("{:?}", config.unwrap().shown);
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("redis://********@h:1/0"), "{shown}");
    let problems = problems(&[("SECRET", "s3cret"), ("REDIS_URL", "redis://:s3cret@[")]);
    assert_eq!(problems.len(), 2);
    assert!(!problems.concat().contains("s3cret"), "{problems:?}");
}

#[test]
fn a_variable_that_is_no_text_is_told_of_and_never_taken_for_one() {
    let bytes = || OsString::from_vec(b"s3cret-s3cret-s3cret\xff".to_vec());
    let told = |name: &str| match Config::load(&HashMap::from([(name.to_owned(), bytes())])) {
        Ok(config) => config.remarks,
        Err(Problems(problems)) => problems,
    };
    for var in vars::VARS {
        let (name, told) = (var.whole_name(), told(&var.whole_name()));
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert!(told[0].at == name && told[0].what.starts_with("is not UTF-8 text"), "{told:?}");
        assert!(!told[0].what.contains("s3cret"), "{told:?}");
    }
    let file = told("ONCEWARD_SECRET_FILE");
    assert!(file.len() == 1 && file[0].at == "ONCEWARD_SECRET_FILE", "{file:?}");
}

#[test]
fn a_token_to_look_stands_beside_one_to_act_and_differs_from_it() {
    check_bad("ADMIN_READ_TOKEN", "look", "needs ONCEWARD_ADMIN_TOKEN");
    let same = problems(&[("ADMIN_TOKEN", "s3cret"), ("ADMIN_READ_TOKEN", "s3cret")]);
    assert!(same.len() == 1 && same[0].contains("must differ"), "{same:?}");
    assert!(!same.concat().contains("s3cret"), "{same:?}");
    let config = load(&[("ADMIN_TOKEN", "act"), ("ADMIN_READ_TOKEN", "look")]).unwrap();
    assert_eq!(config.admin_tokens.look.as_deref(), Some("look"));
    assert!(load(&[("ADMIN_TOKEN", "act")]).unwrap().admin_tokens.look.is_none());
}

#[test]
fn a_route_overrides_the_variables_and_inherits_the_rest() {
    let routes = r#"[
        {"name": "pay", "path": "/order/pay", "methods": ["POST"], "kind": "order",
         "key": ["header:Idempotency-Key", "json:/orderId"], "mode": "sync", "token": "required",
         "lock_ttl": "10s", "key_required": true,
         "outcome": [{"at": "json:/data/status", "in": ["SUCCESS"], "means": "succeeded"},
                     {"at": "json:/data/status", "in": ["USERPAYING"], "means": "unknown"}],
         "query":  {"method": "GET", "path": "/order/get_result?orderId={key}",
                    "outcome": [{"status": [404], "means": "absent"}]},
         "cancel": {"method": "POST", "path": "/order/cancel", "json": {"orderId": "{key}"},
                    "outcome": [{"status": [200], "means": "cancelled"}]}},
        {"name": "rest", "path": "/*"}]"#;
    let config = load(&[("ROUTES", routes), ("ON_UNKNOWN", "retry"), ("LOCK_TTL", "20s")]).unwrap();
    let [pay, rest] = config.routes.0.as_slice() else { panic!("two routes") };
    assert_eq!(pay.tuning.lock_ttl, Duration::from_secs(10));
    assert_eq!(rest.tuning.lock_ttl, Duration::from_secs(20));
    assert_eq!(pay.tuning.on_unknown, OnUnknown::Retry);
    assert_eq!(pay.tuning.key[1], Source::Json("/orderId".into()));
    assert!(pay.tuning.key_required && pay.can_ask() && !rest.can_ask());
}

#[test]
fn what_is_shown_of_a_route_is_all_there_is_and_reads_as_what_it_was() {
    let of_routes = vars::VARS.iter().filter(|var| var.of_route).map(|var| var.name.to_lowercase());
    let of_routes: Vec<String> = of_routes.collect();
    let changed = r#"[{"name": "a", "path": "/a", "lock_ttl": "90s", "max_request_body": "4097",
        "fingerprint_ignore": ["/a/0", "sign"], "scope": ["x-a", "x-b"], "token": "required",
        "key": ["json:/id"], "on_unknown": "retry", "redis_down": "bypass", "methods": ["PUT"]}]"#;
    for routes in [r#"[{"name": "a", "path": "/a"}]"#, changed] {
        let route = load(&[("ROUTES", routes)]).unwrap().routes.0[0].clone();
        let mut fields: serde_json::Map<_, _> = shown::route(&route)
            .into_iter()
            .filter(|(name, _)| of_routes.iter().any(|of_routes| of_routes == name))
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        assert_eq!(fields.len(), of_routes.len() - 1, "all but callback_ttl");
        fields.extend([("name".to_owned(), "a".into()), ("path".to_owned(), "/a".into())]);
        let again = load(&[("ROUTES", &serde_json::json!([fields]).to_string())]).unwrap();
        assert_eq!(again.routes.0[0].tuning, route.tuning);
    }
}

#[test]
fn a_routes_problems_name_the_route_and_the_field() {
    let routes = r#"[{"name": "pay", "path": "pay", "lock_ttl": "soon", "colour": "red"},
                     {"name": "a b", "path": "/", "outcome": [{"means": "fine"}]},
                     {"name": "c", "path": "/", "LOCK_TTL": "1s"},
                     {"name": "d", "path": "/", "mode": "later"},
                     {"name": "e", "path": "/", "preset": "paypal"},
                     7]"#;
    let problems = problems(&[("ROUTES", routes)]).join("\n");
    for says in [
        "ROUTES[0] (pay).lock_ttl: expected a duration",
        "ROUTES[0] (pay).path: a path pattern begins with /",
        "ROUTES[0] (pay).colour: no such field; there are name, path, ",
        "ROUTES[1] (a b).name: expected 1 to 64",
        "ROUTES[1] (a b).outcome[0]: means: expected succeeded",
        "ROUTES[1] (a b).outcome[0]: needs \"status\"",
        "ROUTES[2] (c).LOCK_TTL: no such field; did you mean lock_ttl",
        "ROUTES[3] (d).mode: expected one of sync, async, either",
        "ROUTES[4] (e).preset: expected one of wechat-v3-notify",
        "ROUTES[5]: expected an object",
    ] {
        assert!(problems.contains(says), "{says}\n---\n{problems}");
    }
}

#[test]
fn what_a_rule_may_name_is_any_value_that_has_one_text() {
    let values = r#"["PAID", 1, -1, 1.5, 18446744073709551615, 1e22, true, false, null, ""]"#;
    let texts =
        ["PAID", "1", "-1", "1.5", "18446744073709551615", "1e+22", "true", "false", "null", ""];
    let routes = format!(
        r#"[{{"name": "a", "path": "/a", "outcome": [{{"at": "json:/x", "in": {values}, "means": "unknown"}}]}},
            {{"name": "b", "path": "/b", "kind": "callback", "ack": {{"at": "json:/x", "in": {values}}},
              "outcome": [{{"at": "json:/x", "in": {values}, "means": "succeeded"}}]}}]"#
    );
    let config = load(&[("ROUTES", &routes)]).unwrap();
    let [a, b] = config.routes.0.as_slice() else { panic!() };
    let own = b.callback.as_ref().unwrap();
    assert_eq!(a.outcome[0].at.as_ref().unwrap().1, texts);
    assert_eq!(own.ack.at.as_ref().unwrap().1, texts);
    assert_eq!(own.outcome[0].texts.as_ref().unwrap(), &texts);
}

#[test]
fn a_rule_may_mean_what_its_answer_can_tell_and_nothing_that_would_decide_nothing() {
    let all = ["succeeded", "failed", "unknown", "declined", "absent", "cancelled"];
    let told = |field: &str, means: &str| {
        let rule = format!(r#"[{{"status": [200], "means": "{means}"}}]"#);
        let rules = match field {
            "outcome" => format!(r#""outcome": {rule}"#),
            call => format!(
                r#""{call}": {{"method": "GET", "path": "/x?o={{key}}", "outcome": {rule}}}"#
            ),
        };
        problems(&[("ROUTES", &format!(r#"[{{"name": "a", "path": "/a", {rules}}}]"#))])
    };
    for (field, place, tells) in [
        ("outcome", "outcome[0]", &["succeeded", "failed", "unknown", "declined"][..]),
        ("query", "query.outcome[0]", &all),
        ("cancel", "cancel.outcome[0]", &all),
    ] {
        for means in all {
            let problems = told(field, means);
            let says = format!("ONCEWARD_ROUTES[0] (a).{place}: means: expected ");
            match tells.contains(&means) {
                true => assert!(problems.is_empty(), "{field} {means}: {problems:?}"),
                false => assert!(
                    problems.len() == 1 && problems[0].starts_with(&says),
                    "{field} {means}: {problems:?}"
                ),
            }
        }
    }
}

#[test]
fn a_rule_that_could_never_match_is_told_wherever_it_stands() {
    let rule = |values: &str| format!(r#"{{"at": "json:/x", "in": {values}, "means": "unknown"}}"#);
    let routes = format!(
        r#"[{{"name": "a", "path": "/a", "outcome": [{}, {}],
              "query": {{"method": "GET", "path": "/q?o={{key}}", "outcome": [{}]}},
              "cancel": {{"method": "POST", "path": "/c?o={{key}}", "outcome": [{}]}}}},
            {{"name": "b", "path": "/b", "kind": "callback", "ack": {{"at": "json:/x", "in": []}},
              "outcome": [{}, {}]}}]"#,
        rule("[]"),
        rule(r#"["PAID", {}, [1]]"#),
        rule("[[]]"),
        rule("[9007199254740993.5, 123456789012345678901234]"),
        rule("[]"),
        rule(r#"[true, {"a": 1}]"#),
    );
    let problems = problems(&[("ROUTES", &routes)]);
    let expect = [
        "ROUTES[0] (a).outcome[0]: in: empty, nothing would ever match",
        "ROUTES[0] (a).outcome[1]: in: expected texts, numbers, true, false or null",
        "ROUTES[0] (a).outcome[1]: in: expected texts",
        "ROUTES[0] (a).query.outcome[0]: in: expected texts",
        "ROUTES[0] (a).cancel.outcome[0]: in: read as 9007199254740994.0, which may not be what was written",
        "ROUTES[0] (a).cancel.outcome[0]: in: read as 1.2345678901234567e+23, which",
        "ROUTES[1] (b).ack: in: empty",
        "ROUTES[1] (b).outcome[0]: in: empty",
        "ROUTES[1] (b).outcome[1]: in: expected texts",
    ];
    assert_eq!(problems.len(), expect.len(), "{problems:#?}");
    for (problem, says) in problems.iter().zip(expect) {
        assert!(problem.contains(says), "{says}\n---\n{problems:#?}");
    }
}

#[test]
fn no_problem_of_a_route_hides_another() {
    let routes = r#"[{"path": 7, "lock_tll": "1s", "timeout": "1s", "lock_ttl": "soon",
        "key": ["cookie:x", "json:/a/~2", "xml:a/b"], "methods": [], "mode": "later", "mode": "x",
        "client_cancel": "no", "outcome": [{"status": "200", "mean": "x"}, 7],
        "query": {"methd": "GET", "path": "/q", "json": {"a": "{b}"}, "outcome": {}},
        "cancel": [], "lifecycle": "order"}]"#;
    let told = problems(&[("ROUTES", routes)]);
    for says in [
        "name: is missing",
        "path: invalid type: integer `7`, expected a string",
        "lock_tll: no such field; did you mean lock_ttl",
        "timeout: no such field; did you mean upstream_timeout?",
        "lock_ttl: expected a duration",
        "key: \"cookie:x\" is no source: header:, json:/",
        "\"json:/a/~2\" is no source: a JSON pointer has ~ as ~0",
        "\"xml:a/b\" is no source: xml: takes the name of one element",
        "methods: names no method: nothing would be protected",
        "mode: stands there twice",
        "mode: expected one of sync, async, either",
        "client_cancel: invalid type: string",
        "outcome[0].status: invalid type: string",
        "outcome[0].means: is missing",
        "outcome[0].mean: no such field; did you mean means?",
        "outcome[1]: expected an object",
        "query.method: is missing",
        "query.methd: no such field; did you mean method?",
        "query.outcome: invalid type: map",
        "query: json: only {key} is filled in",
        "query: names no order",
        "cancel: expected an object",
        "lifecycle: expected an object",
    ] {
        let found = told.iter().any(|problem| {
            problem.starts_with("ONCEWARD_ROUTES[0] (no name).") && problem.contains(says)
        });
        assert!(found, "{says}\n---\n{}", told.join("\n"));
    }
}

#[test]
fn a_member_that_stands_twice_is_told_by_its_place() {
    let told = |routes: &str| problems(&[("ROUTES", routes)]);
    assert_eq!(
        told(r#"[{"name": "pay", "path": "/a", "key": ["json:/o"], "key": ["json:/p"]}]"#),
        ["ONCEWARD_ROUTES[0] (pay).key: stands there twice; keep one of the two"]
    );
    assert_eq!(
        told(r#"{"lifecycles": {}, "routes": [{"name": "a", "path": "/a"}], "lifecycles": {}}"#),
        ["ONCEWARD_ROUTES.lifecycles: stands there twice; keep one of the two"]
    );
}

#[test]
fn a_route_that_could_never_protect_anything_is_refused() {
    let told = |route: &str, variables: &[(&str, &str)]| {
        let routes = format!(r#"[{{"name": "a", {route}}}, {{"name": "b", "path": "/o/{{id}}"}}]"#);
        let mut all = vec![("ROUTES", routes.as_str())];
        all.extend(variables);
        problems(&all)
    };
    for (route, says) in [
        (r#""path": "/a?b=1""#, "path: a path pattern ends before ? and #"),
        (r#""path": "/a#b""#, "path: a path pattern ends before ? and #"),
        (r#""path": "/_onceward/foo""#, "path: below /_onceward (ONCEWARD_PREFIX)"),
        (r#""path": "/_onceward/*""#, "path: below /_onceward (ONCEWARD_PREFIX)"),
        (r#""path": "/%5Fonceward/x""#, "path: below /_onceward"),
        (
            r#""path": "/a/{no}", "key": ["path:nope"]"#,
            "key: path:nope: the path /a/{no} has no {nope}",
        ),
        (r#""path": "/a", "key": ["json:/o", "path:no"]"#, "key: path:no: the path /a has no {no}"),
        (
            r#""path": "/a", "kind": "callback", "event": ["path:no"]"#,
            "event: path:no: the path /a",
        ),
        (r#""path": "/a", "methods": []"#, "methods: names no method"),
    ] {
        let told = told(route, &[]);
        assert_eq!(told.len(), 1, "{route}: {told:?}");
        assert!(told[0].starts_with(&format!("ONCEWARD_ROUTES[0] (a).{says}")), "{told:?}");
    }
    // The same for all routes may suit some of them.
    let plain = r#""path": "/a""#;
    assert_eq!(told(plain, &[("KEY", "path:id,json:/o")]), [""; 0]);
    let never = told(plain, &[("KEY", "path:id")]);
    let says = "path:id: the path /a has no {id}; it is read for ONCEWARD_ROUTES[0] (a)";
    assert_eq!(never, [format!("ONCEWARD_KEY: {says}")]);
    assert_eq!(told(r#""path": "/_oncewards/x""#, &[]), [""; 0]);
    assert_eq!(told(r#""path": "/_onceward/x""#, &[("PREFIX", "/own")]), [""; 0]);
}

#[test]
fn two_routes_of_one_name_would_share_orders() {
    let problems =
        problems(&[("ROUTES", r#"[{"name":"a","path":"/a"},{"name":"a","path":"/b"}]"#)]);
    assert!(problems.concat().contains("another route has this name"), "{problems:?}");
}

#[test]
fn strangers_are_warned_of_and_kubernetes_does_not_stop_a_start() {
    let config = load(&[("LOCKTTL", "1s"), ("SERVICE_HOST", "10.0.0.1")]).unwrap();
    assert_eq!(config.strangers, ["ONCEWARD_LOCKTTL", "ONCEWARD_SERVICE_HOST"]);
}

#[test]
fn a_secret_may_come_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "from-a-file\n").unwrap();
    let config = load(&[("ADMIN_TOKEN_FILE", path.to_str().unwrap())]).unwrap();
    assert_eq!(config.admin_tokens.act.as_deref(), Some("from-a-file"));
    let problems = problems(&[("ADMIN_TOKEN_FILE", "/no/such/file")]);
    assert!(problems[0].starts_with("ONCEWARD_ADMIN_TOKEN_FILE"), "{problems:?}");
}

#[test]
fn a_secrets_file_that_holds_nothing_is_not_taken_for_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let file = path.to_str().unwrap();
    let secrets: Vec<_> = vars::VARS.iter().filter(|var| var.secret).collect();
    assert!(secrets.len() >= 5);
    for var in secrets {
        let name = format!("{}_FILE", var.whole_name());
        let environment = HashMap::from([(name.clone(), file.to_owned())]);
        for nothing in ["", " \n"] {
            std::fs::write(&path, nothing).unwrap();
            let Err(Problems(problems)) = Config::load(&environment) else { panic!("{name}") };
            assert!(problems.len() == 1 && problems[0].at == name, "{problems:?}");
            assert!(problems[0].what.contains("is empty"), "{problems:?}");
        }
    }
    // One that is emptied while the sidecar runs keeps new routes out: the last good ones stay.
    std::fs::write(&path, "s3cret-s3cret-s3cret").unwrap();
    let environment = HashMap::from([("ONCEWARD_SECRET_FILE".to_owned(), file.to_owned())]);
    assert!(Config::reload_routes(&environment).is_ok_and(|(_, remarks)| remarks.is_empty()));
    std::fs::write(&path, "").unwrap();
    let problems = Config::reload_routes(&environment).unwrap_err().to_string();
    assert!(problems.starts_with("ONCEWARD_SECRET_FILE: "), "{problems}");
}

#[test]
fn of_a_secret_given_twice_the_file_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "from-a-file").unwrap();
    let file = ("ADMIN_TOKEN_FILE", path.to_str().unwrap());
    for plain in ["s3cret", ""] {
        let config = load(&[file, ("ADMIN_TOKEN", plain)]).unwrap();
        assert_eq!(config.admin_tokens.act.as_deref(), Some("from-a-file"));
    }
}

#[test]
fn a_callback_route_is_read_with_its_preset_and_its_own_fields_over_it() {
    let routes = r#"[
        {"name": "alipay", "path": "/n", "preset": "alipay-notify", "settles": "pay",
         "unchanged": ["form:app_id"], "callback_ttl": "48h"},
        {"name": "v3", "path": "/v3", "preset": "wechat-v3-notify"},
        {"name": "v2", "path": "/v2", "preset": "wechat-v2-notify"},
        {"name": "pay", "path": "/pay"},
        {"name": "micropay", "path": "/m", "preset": "wechat-micropay", "resolve_deadline": "40s"},
        {"name": "barcode", "path": "/b", "preset": "alipay-barcode"}]"#;
    let variables = [("ROUTES", routes), ("TOKEN", "required"), ("FINGERPRINT", "json")];
    let config = load(&variables).unwrap();
    let [alipay, v3, v2, _, micropay, barcode] = config.routes.0.as_slice() else { panic!() };
    let own = alipay.callback.as_ref().unwrap();
    assert_eq!(alipay.tuning.key, [Source::Form("out_trade_no".into())]);
    assert_eq!(own.event[0], Source::Form("trade_status".into()));
    assert_eq!(own.unchanged, [Source::Form("app_id".into())]);
    assert_eq!(own.ack.body.as_deref(), Some("success"));
    assert_eq!(own.settles.as_deref(), Some("pay"));
    assert_eq!(alipay.tuning.callback_ttl, Duration::from_secs(48 * 3600));
    // What is for payments is not for callbacks.
    assert_eq!(alipay.tuning.token, TokenUse::Off);
    assert!(alipay.tuning.key_required);
    assert_eq!(v3.tuning.key, [Source::Json("/id".into())]);
    assert_eq!(v3.callback.as_ref().unwrap().ack.status, [200, 204]);
    assert_eq!(v2.tuning.key, [Source::Xml("out_trade_no".into())]);
    let seconds = |duration: Duration| duration.as_secs();
    let times = |route: &crate::route::Route| {
        let tuning = &route.tuning;
        let settle_delay = seconds(tuning.settle_delay);
        (seconds(tuning.query_interval), seconds(tuning.resolve_deadline), settle_delay)
    };
    assert_eq!(times(micropay), (10, 40, 15));
    assert_eq!(times(barcode), (3, 60, 15));
    assert_eq!(barcode.ask_after(), None);
    assert_eq!(barcode.pace.first_query, Some(Duration::from_secs(5)));
    assert!(barcode.pace.steady && micropay.pace.steady && !alipay.pace.steady);
    assert_eq!(micropay.pace.cancel_delay, Duration::from_secs(15));
    assert!(micropay.callback.is_none() && micropay.outcome.len() == 4);
}

#[test]
fn a_routes_pace_is_read_and_its_problems_are_told() {
    let routes = r#"[{"name": "a", "path": "/a", "first_query": "0s", "cancel_delay": "soon"},
        {"name": "b", "path": "/b", "kind": "callback", "first_query": "1s"}]"#;
    let told = problems(&[("ROUTES", routes)]);
    for says in [
        "ROUTES[0] (a).first_query: must be more than zero",
        "ROUTES[0] (a).cancel_delay: expected a duration",
        "ROUTES[1] (b).first_query: a route of kind \"callback\" has no such field",
    ] {
        assert!(told.iter().any(|problem| problem.contains(says)), "{says}\n---\n{told:?}");
    }
}

#[test]
fn a_callback_routes_problems_are_told_by_field() {
    let routes = r#"[
        {"name": "a", "path": "/a", "event": ["json:/x"], "settles": "b"},
        {"name": "b", "path": "/b", "kind": "callback", "token": "required", "query": {},
         "event": ["cookie:x"], "ack": {"status": [302]}, "key": ["json:/id"]},
        {"name": "c", "path": "/c", "kind": "callback", "ack": {"at": "xml:a"},
         "outcome": [{"at": "json:/s", "means": "absent"}, {"status": [200], "means": "failed"}]},
        {"name": "d", "path": "/d", "kind": "callback", "ack": {"colour": "red"}},
        {"name": "e", "path": "/e", "kind": "callback", "settles": "nobody"},
        {"name": "f", "path": "/f", "kind": "callback", "settles": "e"},
        {"name": "g", "path": "/g", "kind": "callback", "settles": "h"},
        {"name": "h", "path": "/h", "scope": ["x-tenant"]},
        {"name": "i", "path": "/i", "kind": "webhook"}]"#;
    let problems = problems(&[("ROUTES", routes)]).join("\n");
    for says in [
        "ROUTES[0] (a).event: only a route of kind \"callback\" has it",
        "ROUTES[0] (a).settles: only a route of kind",
        "ROUTES[1] (b).token: a route of kind \"callback\" has no such field",
        "ROUTES[1] (b).query: a route of kind \"callback\" has no such field",
        "ROUTES[1] (b).event: \"cookie:x\" is no source",
        "ROUTES[1] (b).ack: status: 302 acknowledges nothing",
        "ROUTES[2] (c).ack: \"at\" and \"in\" go together",
        "ROUTES[2] (c).outcome[0]: means: a callback tells succeeded, failed, or unknown",
        "ROUTES[2] (c).outcome[1]: a callback is a request, it has no \"status\"",
        "ROUTES[2] (c).outcome[1]: needs \"at\"",
        "ROUTES[3] (d).ack.colour: no such field; there are status, body, at, in",
        "ROUTES[4] (e).settles: no route is called \"nobody\"",
        "ROUTES[5] (f).settles: \"e\" is a callback route",
        "ROUTES[6] (g).settles: \"h\" has another scope",
        "ROUTES[8] (i).kind: expected order or callback",
    ] {
        assert!(problems.contains(says), "{says}\n---\n{problems}");
    }
}

/// ROUTES with this lifecycle, and routes that differ from a good one as each says.
#[test]
fn an_order_is_not_forgotten_while_it_is_asked_about_or_cancelled() {
    let routes = |fields: &[&str]| {
        let routes: Vec<_> = fields
            .iter()
            .enumerate()
            .map(|(n, more)| format!(r#"{{"name": "r{n}", "path": "/r{n}", {more}}}"#))
            .collect();
        format!("[{}]", routes.join(","))
    };
    let query = r#""query": {"method": "GET", "path": "/o?id={key}",
        "outcome": [{"status": [404], "means": "absent"}]}"#;
    let cancel = r#""cancel": {"method": "POST", "path": "/c?id={key}",
        "outcome": [{"status": [200], "means": "cancelled"}]}"#;
    // Of RESOLVE_DEADLINE, SETTLE_DELAY and CANCEL_INTERVAL 80 s are needed.
    let short = routes(&[
        query,
        cancel,
        &format!(r#""unknown_ttl": "80s", {query}, {cancel}"#),
        &format!(r#""resolve_deadline": "1s", "settle_delay": "0s", "mode": "nonsense", {query}"#),
        &format!(r#""preset": "wechat-micropay", "cancel_delay": "100s", {query}, {cancel}"#),
        &format!(r#""resolve_deadline": "10s", {query}"#),
        r#""mode": "sync""#,
        r#""kind": "callback", "key": ["json:/id"]"#,
    ]);
    let problems = problems(&[("ROUTES", &short), ("UNKNOWN_TTL", "79s")]);
    let left = "ONCEWARD_UNKNOWN_TTL: 1m 19s is too short for ";
    let expected = [
        (format!("{left}ONCEWARD_ROUTES[0] (r0)"), "at least 1m 20s"),
        (format!("{left}ONCEWARD_ROUTES[1] (r1)"), "at least 1m 20s"),
        ("ONCEWARD_ROUTES[3] (r3).mode".into(), "sync, async, either"),
        (format!("{left}ONCEWARD_ROUTES[4] (r4)"), "at least 2m"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, (at, says)) in problems.iter().zip(expected) {
        assert!(problem.starts_with(&(at + ": ")) && problem.contains(says), "{problem}");
    }
}

#[test]
fn a_short_time_for_unknown_orders_nobody_asks_about_is_remarked_upon_and_in_force() {
    let remarks = |vars: &[(&str, &str)]| -> Vec<String> {
        load(vars).unwrap().remarks.iter().map(ToString::to_string).collect()
    };
    assert_eq!(remarks(&[]), Vec::<String>::new());
    assert_eq!(remarks(&[("UNKNOWN_TTL", "60s")]), Vec::<String>::new());
    let short = remarks(&[("UNKNOWN_TTL", "2s")]);
    assert!(short.len() == 1 && short[0].starts_with("ONCEWARD_UNKNOWN_TTL: 2s is short"));
    assert!(short[0].contains("1m and more"), "{short:?}");
    let routes = r#"[{"name": "a", "path": "/a", "lock_ttl": "200ms", "upstream_timeout": "100ms",
          "settle_delay": "0s"},
        {"name": "b", "path": "/b", "upstream_timeout": "3m"},
        {"name": "c", "path": "/c", "kind": "callback", "key": ["json:/id"]}]"#;
    let short = remarks(&[("ROUTES", routes), ("UNKNOWN_TTL", "61s")]);
    assert!(short.len() == 1 && short[0].starts_with("ONCEWARD_UNKNOWN_TTL: 1m 1s"), "{short:?}");
    assert!(short[0].contains("is short for ONCEWARD_ROUTES[1] (b): "), "{short:?}");
    assert!(short[0].contains("3m 15s and more"), "{short:?}");
    let own = r#"[{"name": "a", "path": "/a", "unknown_ttl": "2s"}]"#;
    let short = remarks(&[("ROUTES", own)]);
    assert!(short.len() == 1, "{short:?}");
    assert!(short[0].starts_with("ONCEWARD_ROUTES[0] (a).unknown_ttl: 2s is short: "), "{short:?}");
}

#[test]
fn letting_payments_by_is_remarked_upon_where_it_is_said() {
    let remarks = |vars: &[(&str, &str)]| -> Vec<String> {
        load(vars).unwrap().remarks.iter().map(ToString::to_string).collect()
    };
    let bypass = ("REDIS_DOWN", "bypass");
    let said = remarks(&[bypass]);
    assert!(said.len() == 1, "{said:?}");
    assert!(said[0].starts_with(
        "ONCEWARD_REDIS_DOWN: bypass: while Redis is away the payments of default go"
    ));
    let routes = r#"[{"name": "a", "path": "/a"}, {"name": "b", "path": "/b", "redis_down": "bypass"},
        {"name": "c", "path": "/c", "redis_down": "reject"}, {"name": "d", "path": "/d"},
        {"name": "e", "path": "/e", "mode": "async"},
        {"name": "f", "path": "/f", "kind": "callback", "key": ["json:/id"]}]"#;
    let said = remarks(&[bypass, ("ROUTES", routes)]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("ONCEWARD_REDIS_DOWN: ") && said[0].contains(" of a, d go "));
    assert!(
        said[1].starts_with("ONCEWARD_ROUTES[1] (b).redis_down: ") && said[1].contains(" of b go ")
    );
    let said = remarks(&[("ROUTES", routes)]);
    assert!(
        said.len() == 1 && said[0].starts_with("ONCEWARD_ROUTES[1] (b).redis_down: "),
        "{said:?}"
    );
}

#[test]
fn notifications_that_settle_differently_and_count_as_one_event_are_remarked_upon() {
    let remarks = |more: &str| -> Vec<String> {
        let routes = format!(
            r#"[{{"name": "pay", "path": "/pay"}}, {{"name": "cb", "path": "/n", "kind": "callback",
                "key": ["json:/id"], {more}}}]"#
        );
        load(&[("ROUTES", &routes)]).unwrap().remarks.iter().map(ToString::to_string).collect()
    };
    let outcome = r#""outcome": [{"at": "json:/refund", "means": "unknown"},
        {"at": "json:/s", "in": ["PAID"], "means": "succeeded"},
        {"at": "json:/s", "in": ["CLOSED"], "means": "failed"}]"#;
    let said = remarks(&format!(r#""settles": "pay", {outcome}"#));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("ONCEWARD_ROUTES[1] (cb).event: lacks json:/s, by which outcome"));
    for better in [
        format!(r#""settles": "pay", "event": ["json:/s"], {outcome}"#),
        format!(r#""settles": "pay", "unchanged": ["json:/s"], {outcome}"#),
        r#""settles": "pay", "outcome": [{"at": "json:/id", "means": "succeeded"}]"#.to_owned(),
        r#""settles": "pay""#.to_owned(),
        outcome.to_owned(),
    ] {
        assert_eq!(remarks(&better), Vec::<String>::new(), "{better}");
    }
    for preset in ["wechat-v3-notify", "wechat-v2-notify", "alipay-notify"] {
        let routes = format!(
            r#"[{{"name": "pay", "path": "/pay"}},
                {{"name": "cb", "path": "/n", "preset": "{preset}", "settles": "pay"}}]"#
        );
        assert!(load(&[("ROUTES", &routes)]).unwrap().remarks.is_empty(), "{preset}");
    }
}

#[test]
fn running_again_what_could_be_asked_about_is_remarked_upon() {
    let remarks = |vars: &[(&str, &str)]| -> Vec<String> {
        load(vars).unwrap().remarks.iter().map(ToString::to_string).collect()
    };
    let query = r#""query": {"method": "GET", "path": "/r?id={key}",
        "outcome": [{"status": [404], "means": "absent"}]}"#;
    let routes = format!(
        r#"[{{"name": "a", "path": "/a", "on_unknown": "retry", {query}}},
            {{"name": "b", "path": "/b", {query}}}, {{"name": "c", "path": "/c"}}]"#
    );
    let said = remarks(&[("ROUTES", &routes)]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("ONCEWARD_ROUTES[0] (a).on_unknown: retry: an order of unknown"));
    let said = remarks(&[("ROUTES", &routes), ("ON_UNKNOWN", "retry")]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].starts_with("ONCEWARD_ON_UNKNOWN: retry for ONCEWARD_ROUTES[1] (b): an order"));
    assert_eq!(remarks(&[("ON_UNKNOWN", "retry")]), Vec::<String>::new());
}

#[test]
fn a_route_whose_requests_do_not_fit_into_body_memory_is_remarked_upon_and_in_force() {
    let remarks = |vars: &[(&str, &str)]| -> Vec<String> {
        load(vars).unwrap().remarks.iter().map(ToString::to_string).collect()
    };
    assert_eq!(remarks(&[("MAX_REQUEST_BODY", "32MiB")]), Vec::<String>::new());
    let large = remarks(&[("MAX_REQUEST_BODY", "64MiB")]);
    assert!(large.len() == 1 && large[0].starts_with("ONCEWARD_MAX_REQUEST_BODY: 67108864 bytes"));
    assert!(large[0].contains("more than BODY_MEMORY, 32MiB"), "{large:?}");
    let routes = r#"[{"name": "a", "path": "/a"}, {"name": "b", "path": "/b",
        "max_request_body": "2MiB"}, {"name": "c", "path": "/c"}]"#;
    let large = remarks(&[("ROUTES", routes), ("BODY_MEMORY", "1MiB")]);
    assert!(large.len() == 1 && large[0].starts_with("ONCEWARD_ROUTES[1] (b).max_request_body"));
    assert_eq!(load(&[("BODY_MEMORY", "4MiB")]).unwrap().body_memory, 4 << 20);
    let problem = load(&[("BODY_MEMORY", "0")]).err().unwrap().to_string();
    assert!(problem.contains("ONCEWARD_BODY_MEMORY") && problem.contains("more than zero"));
}

fn with_lifecycle(lifecycle: &str, routes: &[&str]) -> String {
    let routes: Vec<_> = routes
        .iter()
        .enumerate()
        .map(|(n, more)| format!(r#"{{"name": "r{n}", "path": "/r{n}", {more}}}"#))
        .collect();
    let routes = routes.join(",");
    format!(r#"{{"lifecycles": {{"order": {lifecycle}}}, "routes": [{routes}]}}"#)
}

const ORDER: &str = r#"{"start": "unpaid", "moves": [["unpaid","paid"],["unpaid","cancelled"],
    ["paid","shipped"],["shipped","completed"],["paid","refunded"],["shipped","refunded"]]}"#;
const PAY: &str = r#""lifecycle": {"name": "order", "from": ["unpaid"], "to": "paid"}"#;
const REFUND: &str =
    r#""lifecycle": {"name": "order", "from": ["paid", "shipped"], "to": "refunded"}"#;

#[test]
fn a_route_has_a_part_in_a_lifecycle_whose_state_outlives_its_orders() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let routes = with_lifecycle(ORDER, &[PAY, REFUND, r#""key": ["json:/id"]"#]);
    let config = load(&[("ROUTES", &routes), ("UNKNOWN_TTL", "100h")]).unwrap();
    let [pay, refund, other] = config.routes.0.as_slice() else { panic!() };
    let step = refund.step.as_ref().unwrap();
    assert_eq!((&*step.lifecycle, &*step.start, &*step.to), ("order", "unpaid", "refunded"));
    assert_eq!(step.from, ["paid".into(), "shipped".into()] as [Box<str>; 2]);
    assert_eq!(step.keep, hours(100));
    assert!(step.hold > hours(200));
    // A request without its number would pass the lifecycle by.
    assert!(pay.tuning.key_required && !other.tuning.key_required);
    assert!(other.step.is_none());
    let kept = ORDER.replacen('{', r#"{"ttl": "300h", "#, 1);
    let config = load(&[("ROUTES", &with_lifecycle(&kept, &[PAY]))]).unwrap();
    assert_eq!(config.routes.0[0].step.as_ref().unwrap().keep, hours(300));
    let order = |route: usize, scope: &str| {
        let key = crate::model::key::Key::from_text("1").unwrap();
        config.routes.0[route].order(scope, key).part.unwrap().id.clone()
    };
    assert_ne!(order(0, "a"), order(0, "b"));
}

/// Exactly one problem, and it says so.
fn check_lifecycle(lifecycle: &str, routes: &[&str], says: &str) {
    let problems = problems(&[("ROUTES", &with_lifecycle(lifecycle, routes))]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0], format!("ONCEWARD_ROUTES{says}"));
}

#[test]
fn a_lifecycle_that_cannot_be_is_refused() {
    check_lifecycle(
        "7",
        &[PAY],
        ".lifecycles.order: expected an object with \"start\" and \"moves\"",
    );
    check_lifecycle(
        r#"{"start": "a", "moves": [["a","b"]], "end": "b"}"#,
        &[PAY],
        ".lifecycles.order.end: no such field; there are start, moves, ttl",
    );
    check_lifecycle(
        r#"{"moves": [["unpaid","paid"]]}"#,
        &[PAY],
        ".lifecycles.order.start: is missing",
    );
    let moves = |start: &str, moves: &str| format!(r#"{{"start": "{start}", "moves": [{moves}]}}"#);
    check_lifecycle(
        &moves("new", r#"["unpaid","paid"]"#),
        &[PAY],
        r#".lifecycles.order.start: no move begins or ends in "new""#,
    );
    check_lifecycle(
        &moves("unpaid", ""),
        &["\"methods\": [\"POST\"]"],
        r#".lifecycles.order.start: no move begins or ends in "unpaid""#,
    );
    check_lifecycle(
        &moves("unpaid", r#"["unpaid","paid"],["shiped","done"]"#),
        &[PAY],
        r#".lifecycles.order.moves: no move leads from "unpaid" to "done", "shiped""#,
    );
    check_lifecycle(
        &moves("unpaid", r#"["unpaid","paid"],["unpaid","paid"]"#),
        &[PAY],
        r#".lifecycles.order.moves: "unpaid" to "paid" stands there twice"#,
    );
    check_lifecycle(
        &moves("unpaid", r#"["unpaid","paid"],["paid","a, b"]"#),
        &[PAY],
        r#".lifecycles.order.moves: "a, b" is no state: expected 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'"#,
    );
    let ttl = |ttl: &str| ORDER.replacen('{', &format!(r#"{{"ttl": "{ttl}", "#), 1);
    check_lifecycle(
        &ttl("soon"),
        &[PAY],
        ".lifecycles.order.ttl: expected a duration such as 500ms, 30s or 24h",
    );
    check_lifecycle(
        &ttl("167h"),
        &[PAY],
        ".lifecycles.order.ttl: must be at least 7days, for which its routes keep orders",
    );
}

#[test]
fn a_part_that_cannot_be_is_refused() {
    let part = |part: &str| format!(r#""lifecycle": {{{part}}}"#);
    check_lifecycle(
        ORDER,
        &[&part(r#""name": "parcel", "from": ["unpaid"], "to": "paid""#)],
        r#"[0] (r0).lifecycle.name: no lifecycle is called "parcel""#,
    );
    check_lifecycle(
        ORDER,
        &[&part(r#""name": "order", "from": [], "to": "paid""#)],
        "[0] (r0).lifecycle.from: names no state: nothing could ever be done",
    );
    check_lifecycle(
        ORDER,
        &[&part(r#""name": "order", "from": ["unpaid", "unpaid"], "to": "paid""#)],
        r#"[0] (r0).lifecycle.from: "unpaid" stands there twice"#,
    );
    check_lifecycle(
        ORDER,
        &[PAY, &part(r#""name": "order", "from": ["paid", "unpaid"], "to": "shipped""#)],
        r#"[1] (r1).lifecycle: "unpaid" to "shipped" is no move of "order""#,
    );
    check_lifecycle(
        ORDER,
        &[&part(r#""name": "order", "from": ["unpaid"], "to": "paid", "why": 1"#)],
        "[0] (r0).lifecycle.why: no such field; there are name, from, to",
    );
    check_lifecycle(
        ORDER,
        &[&part(r#""name": "order", "from": ["unpaid"]"#)],
        "[0] (r0).lifecycle.to: is missing",
    );
    check_lifecycle(
        ORDER,
        &[&format!(r#""kind": "callback", "key": ["json:/id"], {PAY}"#)],
        r#"[0] (r0).lifecycle: a route of kind "callback" has no such field"#,
    );
    check_lifecycle(
        ORDER,
        &[PAY, &format!(r#""key": ["json:/id"], {REFUND}"#)],
        r#"[1] (r1).lifecycle: its key is read elsewhere than that of "r0", in the same lifecycle"#,
    );
    check_lifecycle(
        ORDER,
        &[PAY, &format!(r#""scope": ["x-tenant"], {REFUND}"#)],
        r#"[1] (r1).lifecycle: its scope is another than that of "r0", in the same lifecycle"#,
    );
}

#[test]
fn every_problem_of_lifecycles_is_told_at_once() {
    let routes = r#"{"lifecycles": {"a b": {"start": "x", "moves": [["y","z"],["y","z"]]}, "order": 7},
        "routes": [{"name": "pay", "path": "/pay", "lock_ttl": "soon",
            "lifecycle": {"name": "parcel", "from": [], "to": "z"}}]}"#;
    let problems = problems(&[("ROUTES", routes)]);
    assert_eq!(problems.len(), 7, "{problems:#?}");
    let list = problems_of_lifecycles("[]");
    assert_eq!(list, ["ONCEWARD_ROUTES.lifecycles: expected an object of lifecycles"]);
}

fn problems_of_lifecycles(lifecycles: &str) -> Vec<String> {
    let routes =
        format!(r#"{{"lifecycles": {lifecycles}, "routes": [{{"name": "a", "path": "/"}}]}}"#);
    problems(&[("ROUTES", &routes)])
}
