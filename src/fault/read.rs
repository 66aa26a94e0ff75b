//! Reads a rule, and says in a sentence what is wrong with it.

use super::kinds::{Deed, KINDS, Kind};
use super::place::At;
use super::rule::{Rule, Whom};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Why a rule is none; begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRule(String);

/// Longest name of a rule, and longest text in a field of one, in bytes.
const LONGEST_ID: usize = 64;
const LONGEST_TEXT: usize = 255;

/// The longest time a rule is in force.
const LONGEST_FOR: Duration = Duration::from_secs(24 * 3600);

const FIELDS: [&str; 10] =
    ["at", "do", "route", "key", "header", "command", "probability", "times", "for", "seed"];

impl Rule {
    /// Reads a rule of that name.
    ///
    /// # Errors
    /// What is wrong with it, beginning with the field.
    pub fn read(id: &str, document: &Value) -> Result<Rule, BadRule> {
        read(id, document)
    }
}

pub(super) fn read(id: &str, document: &Value) -> Result<Rule, BadRule> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=LONGEST_ID).contains(&id.len()) || !id.bytes().all(plain) {
        return bad("id", "expected 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'");
    }
    let Some(fields) = document.as_object() else {
        return bad("rule", "expected a JSON object with at and do");
    };
    if let Some(stranger) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let stranger: String = stranger.chars().take(LONGEST_TEXT).collect();
        return bad(&stranger, &format!("no such field; there are {}", FIELDS.join(", ")));
    }
    let at = read_at(fields)?;
    let deed = read_deed(fields, at)?;
    let whom = read_whom(fields, at)?;
    let seed = match fields.get("seed") {
        None => getrandom::u64().unwrap_or_default(),
        Some(seed) => seed.as_u64().ok_or_else(|| wrong("seed", "expected a whole number"))?,
    };
    Ok(Rule {
        id: id.into(),
        at,
        deed,
        whom,
        chance: read_chance(fields)?,
        left: read_times(fields)?.map(AtomicU64::new),
        until: read_for(fields)?.map(|time| Instant::now() + time),
        text: document.clone(),
        dice: AtomicU64::new(seed),
        fired: AtomicU64::new(0),
        gone: CancellationToken::new(),
        held: Mutex::default(),
    })
}

fn read_at(fields: &Map<String, Value>) -> Result<At, BadRule> {
    let at = fields.get("at").and_then(Value::as_str).and_then(At::from_word);
    at.ok_or_else(|| wrong("at", &format!("expected one of {}", words(&At::ALL))))
}

fn read_deed(fields: &Map<String, Value>, at: At) -> Result<Deed, BadRule> {
    let kinds = || {
        let words = KINDS.map(|kind| kind.word).join(", ");
        wrong("do", &format!("expected an object with one of {words}"))
    };
    let deed = fields.get("do").and_then(Value::as_object).ok_or_else(kinds)?;
    let mut given = deed.iter();
    let (Some((word, value)), None) = (given.next(), given.next()) else {
        return Err(kinds());
    };
    let kind: &Kind = KINDS.iter().find(|kind| kind.word == word).ok_or_else(kinds)?;
    if !kind.at.contains(&at) {
        let places = words(kind.at);
        let why = format!("means nothing at {}; it may stand at {places}", at.word());
        return Err(wrong(&format!("do.{word}"), &why));
    }
    (kind.read)(value).ok_or_else(|| wrong(&format!("do.{word}"), kind.takes))
}

fn read_whom(fields: &Map<String, Value>, at: At) -> Result<Whom, BadRule> {
    let header = match text(fields, "header")? {
        None => None,
        Some(line) => Some(header(&line).ok_or_else(|| {
            wrong("header", "expected a name, a colon and a value, such as \"x-test: 1\"")
        })?),
    };
    let command = text(fields, "command")?;
    if command.is_some() && !at.is_redis() {
        return bad("command", "means something at redis_before and redis_after only");
    }
    Ok(Whom { route: text(fields, "route")?, key: text(fields, "key")?, header, command })
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, BadRule> {
    let Some(value) = fields.get(name) else {
        return Ok(None);
    };
    let text = value.as_str().filter(|text| (1..=LONGEST_TEXT).contains(&text.len()));
    let text = text.ok_or_else(|| wrong(name, "expected a text of 1 to 255 bytes"))?;
    Ok(Some(text.to_owned()))
}

fn read_chance(fields: &Map<String, Value>) -> Result<u64, BadRule> {
    let Some(value) = fields.get("probability") else {
        return Ok(u64::MAX);
    };
    let probability = value.as_f64().filter(|value| *value > 0.0 && *value <= 1.0);
    let probability =
        probability.ok_or_else(|| wrong("probability", "expected more than 0 and at most 1"))?;
    // Of a float, the cast keeps within the type: 1.0 is always.
    Ok((probability * u64::MAX as f64) as u64)
}

fn read_times(fields: &Map<String, Value>) -> Result<Option<u64>, BadRule> {
    let Some(value) = fields.get("times") else {
        return Ok(None);
    };
    let times = value.as_u64().filter(|times| *times > 0);
    times.map(Some).ok_or_else(|| wrong("times", "expected a whole number, 1 or more"))
}

fn read_for(fields: &Map<String, Value>) -> Result<Option<Duration>, BadRule> {
    let Some(value) = fields.get("for") else {
        return Ok(None);
    };
    let time = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    let time = time.filter(|time| !time.is_zero() && *time <= LONGEST_FOR);
    time.map(Some).ok_or_else(|| wrong("for", "expected a time such as \"60s\", up to 24h"))
}

fn words(places: &[At]) -> String {
    places.iter().map(|at| at.word()).collect::<Vec<_>>().join(", ")
}

fn wrong(field: &str, why: &str) -> BadRule {
    BadRule(format!("{field}: {why}."))
}

fn bad<T>(field: &str, why: &str) -> Result<T, BadRule> {
    Err(wrong(field, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_named() {
        let lose = json!({"lose": true});
        let cases = [
            (json!([]), "rule: "),
            (json!({"do": lose}), "at: "),
            (json!({"at": "upstream", "do": lose}), "at: "),
            (json!({"at": "response"}), "do: "),
            (json!({"at": "response", "do": {}}), "do: "),
            (json!({"at": "response", "do": {"loose": true}}), "do: "),
            (json!({"at": "response", "do": {"lose": true, "reset": true}}), "do: "),
            (json!({"at": "response", "do": {"lose": 1}}), "do.lose: "),
            (json!({"at": "response", "do": {"delay": "2"}}), "do.delay: "),
            (json!({"at": "response", "do": {"delay": "11m"}}), "do.delay: "),
            (json!({"at": "response", "do": {"status": 199}}), "do.status: "),
            (json!({"at": "response", "do": {"cut": -1}}), "do.cut: "),
            (
                json!({"at": "redis_before", "do": {"cut": 1}}),
                "do.cut: means nothing at redis_before",
            ),
            (
                json!({"at": "redis_after", "do": {"duplicate": true}}),
                "do.duplicate: means nothing",
            ),
            (json!({"at": "redis_before", "do": {"error": "oom"}}), "do.error: "),
            (json!({"at": "response", "do": lose, "rout": "pay"}), "rout: no such field"),
            (json!({"at": "response", "do": lose, "key": 7}), "key: "),
            (json!({"at": "response", "do": lose, "header": "x-test"}), "header: "),
            (json!({"at": "response", "do": lose, "command": "claim"}), "command: "),
            (json!({"at": "response", "do": lose, "probability": 0}), "probability: "),
            (json!({"at": "response", "do": lose, "probability": 1.1}), "probability: "),
            (json!({"at": "response", "do": lose, "times": 0}), "times: "),
            (json!({"at": "response", "do": lose, "for": "0s"}), "for: "),
            (json!({"at": "response", "do": lose, "for": "25h"}), "for: "),
            (json!({"at": "response", "do": lose, "seed": "x"}), "seed: "),
        ];
        for (document, begins) in cases {
            let BadRule(why) = read("r", &document).expect_err("refused");
            assert!(why.starts_with(begins) && why.ends_with('.'), "{document}: {why}");
        }
        for id in ["", "a/b", &"x".repeat(65)] {
            let BadRule(why) =
                read(id, &json!({"at": "response", "do": lose})).expect_err("refused");
            assert!(why.starts_with("id: "), "{why}");
        }
    }

    #[test]
    fn every_kind_may_stand_where_it_says_and_nowhere_else() {
        for kind in &KINDS {
            let value = [json!(true), json!("2s"), json!(500), json!("OOM")];
            let value = value
                .into_iter()
                .find(|value| (kind.read)(value).is_some())
                .expect("as it should be");
            for at in At::ALL {
                let document = json!({"at": at.word(), "do": {kind.word: value}});
                assert_eq!(read("r", &document).is_ok(), kind.at.contains(&at), "{document}");
            }
        }
    }
}
