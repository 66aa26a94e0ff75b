//! Rules about answers: `status`, `at` with `in`, `means`.

use crate::model::outcome::{Meaning, Rule};
use crate::model::source::Source;
use serde::Deserialize;
use serde_json::{Number, Value};

/// Most digits of a decimal of which binary floating point, as it is read here, loses none.
const EXACT_DIGITS: usize = 15;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleShape {
    #[serde(default)]
    pub(super) status: Vec<u16>,
    #[serde(default)]
    pub(super) at: Option<String>,
    #[serde(default, rename = "in")]
    pub(super) values: Option<Vec<Value>>,
    pub(super) means: String,
}

/// Reads the rules of a field.
pub(super) fn rules(
    field: &str,
    shapes: Vec<RuleShape>,
    bad: &mut impl FnMut(&str, String),
) -> Vec<Rule> {
    let mut rules = Vec::with_capacity(shapes.len());
    for (index, shape) in shapes.into_iter().enumerate() {
        let here = format!("{field}[{index}]");
        let means = Meaning::from_word(&shape.means);
        if means.is_none() {
            bad(
                &here,
                "means: expected succeeded, failed, unknown, declined, absent or cancelled".into(),
            );
        }
        if let Some(status) = shape.status.iter().find(|status| !(100..=599).contains(*status)) {
            bad(&here, format!("{status} is no status"));
        }
        if shape.at.is_none() && shape.status.is_empty() {
            bad(&here, "needs \"status\", or \"at\" with \"in\": it would match everything".into());
        }
        let at = one_of(&here, shape.at, shape.values, bad);
        if let Some(means) = means {
            rules.push(Rule { status: shape.status, at, means });
        }
    }
    rules
}

/// `at` with `in`: where, and which texts.
pub(super) fn one_of(
    here: &str,
    at: Option<String>,
    values: Option<Vec<Value>>,
    bad: &mut impl FnMut(&str, String),
) -> Option<(Source, Vec<String>)> {
    if at.is_some() != values.is_some() {
        bad(here, "\"at\" and \"in\" go together".into());
    }
    let texts = values.map(|values| texts(here, &values, bad));
    let source = at.map(|at| Source::parse(&at).map_err(|error| bad(here, error.to_string())));
    Some((source?.ok()?, texts?))
}

/// The texts of `in`, as they are compared with what stands in a body.
pub(super) fn texts(
    here: &str,
    values: &[Value],
    bad: &mut impl FnMut(&str, String),
) -> Vec<String> {
    if values.is_empty() {
        bad(here, "in: empty, nothing would ever match".into());
    }
    let mut read = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !is_exact(number) => {
            let what = "which may not be what was written: put it in quotes";
            bad(here, format!("in: read as {number}, {what}"));
            None
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => {
            let what = "in: expected texts, numbers, true, false or null: no array or object is \
                        compared";
            bad(here, what.into());
            None
        }
    };
    values.iter().filter_map(&mut read).collect()
}

fn is_exact(number: &Number) -> bool {
    let written = number.to_string();
    let decimal = written.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = decimal.chars().filter(char::is_ascii_digit).collect();
    !number.is_f64() || digits.trim_matches('0').len() <= EXACT_DIGITS
}
