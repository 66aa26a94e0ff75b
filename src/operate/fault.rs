//! `onceward fault`: plays accidents through the admin plane of a running sidecar.

use super::{ask, told};
use crate::config::AdminPlane;
use crate::model::address::RESERVED;
use clap::{Args, Subcommand};
use hyper::Method;
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Kinds whose value is a text, whatever it looks like.
const TEXTS: [&str; 3] = ["delay", "body", "error"];

/// What to do about the rules.
#[derive(Subcommand)]
pub enum Act {
    /// Put a rule, in the place of any other of its name
    Add(Box<Rule>),
    /// Print the rules, a line each, with how often each fired
    List,
    /// Take a rule off; what it holds goes on
    Remove {
        /// Its name
        id: String,
    },
    /// Take all rules off
    Reset,
}

/// A rule.
#[derive(Args)]
pub struct Rule {
    /// Its name
    id: String,
    /// Where: request, redis_before, redis_after, upstream_request, upstream_response, response,
    /// query, cancel or callback
    at: String,
    /// What: lose, reset, duplicate, reorder, corrupt, stop, crash, delay=2s, status=503, cut=100,
    /// pad=1000, body=TEXT, error=OOM or forget
    what: String,
    /// Only orders and callbacks of this route
    #[arg(long)]
    route: Option<String>,
    /// Only this order number
    #[arg(long)]
    key: Option<String>,
    /// Only requests with this header line: "x-test: 1"
    #[arg(long)]
    header: Option<String>,
    /// Only this Redis script: claim, settle, ...
    #[arg(long)]
    command: Option<String>,
    /// How likely, from 0 to 1
    #[arg(long)]
    probability: Option<f64>,
    /// Has the same likely ones struck every time
    #[arg(long)]
    seed: Option<u64>,
    /// How often at the most
    #[arg(long)]
    times: Option<u64>,
    /// For how long from now: 60s
    #[arg(long = "for")]
    lasting: Option<String>,
}

impl Rule {
    /// As the admin plane reads it, which also judges it.
    fn document(&self) -> Value {
        let (word, value) = match self.what.split_once('=') {
            None => (self.what.as_str(), json!(true)),
            Some((word, value)) if TEXTS.contains(&word) => (word, value.into()),
            Some((word, value)) => {
                (word, value.parse::<u64>().map_or_else(|_| value.into(), Value::from))
            }
        };
        let mut rule = Map::new();
        rule.insert("at".into(), self.at.as_str().into());
        rule.insert("do".into(), json!({word: value}));
        let texts = [
            ("route", &self.route),
            ("key", &self.key),
            ("header", &self.header),
            ("command", &self.command),
            ("for", &self.lasting),
        ];
        let texts =
            texts.into_iter().filter_map(|(name, text)| Some((name, json!(text.as_ref()?))));
        let numbers = [
            ("probability", self.probability.map(Value::from)),
            ("seed", self.seed.map(Value::from)),
            ("times", self.times.map(Value::from)),
        ];
        let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, number?)));
        rule.extend(texts.chain(numbers).map(|(name, value)| (name.to_owned(), value)));
        Value::Object(rule)
    }
}

/// Does it: 0 when it is done, 1 when it could not be, 64 where the rule is none.
pub fn main(plane: &AdminPlane, act: Act) -> ExitCode {
    let (method, target, wish) = match &act {
        Act::Add(rule) => (Method::PUT, place(&rule.id), rule.document().to_string()),
        Act::List => (Method::GET, "/admin/faults".to_owned(), String::new()),
        Act::Remove { id } => (Method::DELETE, place(id), String::new()),
        Act::Reset => (Method::DELETE, "/admin/faults".to_owned(), String::new()),
    };
    let asked = ask(plane, method, &target, wish);
    told(
        plane,
        asked.map(|(status, text)| match (&act, serde_json::from_str(&text)) {
            (Act::List, Ok(list)) if status.is_success() => (status, lines(&list)),
            _ => (status, text),
        }),
    )
}

fn place(id: &str) -> String {
    format!("/admin/faults/{}", utf8_percent_encode(id, RESERVED))
}

/// A rule a line: name, place, fault, whom, what came of it.
fn lines(list: &Value) -> String {
    let rules = list["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |rule: &Value| {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let deed = rule["do"].as_object().into_iter().flatten().next();
        let deed = match deed {
            Some((word, Value::Bool(_))) => word.clone(),
            Some((word, value)) => format!("{word}={}", text(value)),
            None => String::new(),
        };
        let whom = ["route", "key", "header", "command", "probability", "times", "for"];
        let whom: String = whom
            .into_iter()
            .filter(|name| rule.get(name).is_some())
            .map(|name| format!("{name}={} ", text(&rule[name])))
            .collect();
        let over = if rule["over"] == true { ", over" } else { "" };
        format!(
            "{:<20} {:<18} {:<16} {whom}fired {}{over}\n",
            text(&rule["id"]),
            text(&rule["at"]),
            deed,
            rule["fired"]
        )
    };
    rules.iter().map(line).collect()
}
