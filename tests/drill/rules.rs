//! The accidents that are fault rules: where, what, and of which command.

use serde_json::{Value, json};

/// Scripts at which a sidecar dies, and whose answers are lost.
const SCRIPTS: [&str; 18] = [
    "claim",
    "settle",
    "renew",
    "abandon",
    "lapse",
    "look",
    "survey",
    "adopt",
    "hold",
    "resolve",
    "cancel",
    "enqueue",
    "take",
    "draft",
    "dequeue",
    "accept_callback",
    "settle_callback",
    "conclude",
];

/// Every place that is not a command's.
const STEPS: [&str; 7] =
    ["request", "upstream_request", "upstream_response", "response", "query", "cancel", "callback"];

/// Accidents at the places where something is sent or answered; what upstream is told twice, or
/// told wrong, is upstream's accident and not played.
fn at_steps() -> Vec<(String, Value)> {
    let delay = json!({"delay": "700ms"});
    let late = json!({"delay": "2s"});
    [
        ("request", json!({"duplicate": true})),
        ("request", json!({"reset": true})),
        ("upstream_request", json!({"reset": true})),
        ("upstream_request", json!({"lose": true})),
        ("upstream_request", json!({"status": 429})),
        ("upstream_request", delay.clone()),
        ("upstream_response", json!({"lose": true})),
        ("upstream_response", json!({"reset": true})),
        ("upstream_response", json!({"status": 500})),
        ("upstream_response", json!({"cut": 10})),
        ("upstream_response", late),
        ("response", json!({"reset": true})),
        ("response", json!({"cut": 5})),
        ("response", json!({"status": 502})),
        ("query", json!({"lose": true})),
        ("query", json!({"reset": true})),
        ("query", json!({"status": 500})),
        ("query", json!({"body": "{}"})),
        ("query", json!({"body": "{\"code\":\"0000\",\"data\":{},\"status\":0}"})),
        ("query", json!({"duplicate": true})),
        ("query", delay.clone()),
        ("cancel", json!({"lose": true})),
        ("cancel", json!({"reset": true})),
        ("cancel", json!({"status": 500})),
        ("cancel", json!({"duplicate": true})),
        ("callback", json!({"lose": true})),
        ("callback", json!({"reset": true})),
        ("callback", json!({"status": 500})),
        ("callback", json!({"duplicate": true})),
        ("callback", delay),
    ]
    .into_iter()
    .map(|(at, what)| (named(at, &what), json!({"at": at, "do": what})))
    .collect()
}

/// `at: what` of a rule.
fn named(at: &str, what: &Value) -> String {
    let (word, value) = what.as_object().unwrap().iter().next().unwrap();
    match value {
        Value::Bool(_) => format!("{at}: {word}"),
        Value::String(text) if word == "body" => format!("{at}: body {text:.12}"),
        value => format!("{at}: {word} {}", value.to_string().trim_matches('"')),
    }
}

/// All of them; each belongs to a row of the table.
pub fn all() -> Vec<(String, Value)> {
    let mut rules = at_steps();
    for at in STEPS {
        rules.push((format!("kill -9 at {at}"), json!({"at": at, "do": {"crash": true}})));
    }
    for command in SCRIPTS {
        for (row, at, what) in [
            ("kill -9 before a script", "redis_before", "crash"),
            ("kill -9 after a script", "redis_after", "crash"),
            ("a script's answer lost, reset", "redis_after", "reset"),
            ("a script's answer lost, silent", "redis_after", "lose"),
            ("a script never sent", "redis_before", "reset"),
            ("a script sent twice", "redis_before", "duplicate"),
        ] {
            let rule = json!({"at": at, "do": {what: true}, "command": command});
            rules.push((row.to_owned(), rule));
        }
    }
    for word in ["OOM", "READONLY", "LOADING", "NOSCRIPT"] {
        let rule = json!({"at": "redis_before", "do": {"error": word}, "probability": 0.5});
        rules.push((format!("Redis says {word}"), rule));
    }
    rules.push((
        "a script heard late".into(),
        json!({"at": "redis_after", "do": {"delay": "1200ms"}}),
    ));
    rules.push((
        "a script sent late".into(),
        json!({"at": "redis_before", "do": {"delay": "700ms"}}),
    ));
    rules
}
