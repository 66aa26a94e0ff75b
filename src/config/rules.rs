//! Rules about answers: `status`, `at` with `in`, `means`.

use super::fields::{Bad, Fields};
use crate::model::outcome::{Meaning, Rule};
use crate::model::source::Source;
use serde_json::{Number, Value};

/// Most digits of a decimal of which binary floating point, as it is read here, loses none.
const EXACT_DIGITS: usize = 15;

/// A rule as it is written.
pub(super) struct RuleShape {
    pub(super) status: Vec<u16>,
    pub(super) at: Option<String>,
    pub(super) values: Option<Vec<Value>>,
    /// That it is missing was told.
    pub(super) means: Option<String>,
}

impl RuleShape {
    /// Takes one apart.
    pub(super) fn read(value: Value, here: &str, bad: Bad<'_>) -> Option<RuleShape> {
        let mut fields = Fields::read(value, here, bad)?;
        let mut bad = |field: &str, what: String| bad(&format!("{here}.{field}"), what);
        let shape = RuleShape {
            status: fields.take("status", &mut bad).unwrap_or_default(),
            at: fields.take("at", &mut bad),
            values: fields.take("in", &mut bad),
            means: fields.need("means", &mut bad),
        };
        fields.end([], &mut bad);
        Some(shape)
    }
}

/// Whose answer rules are about.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Payment,
    /// A query, or a cancel call.
    Call,
}

impl Of {
    /// What such an answer may tell of its order, and in words.
    const fn can_tell(self) -> (&'static [Meaning], &'static str) {
        use Meaning::{Absent, Cancelled, Declined, Failed, Succeeded, Unknown};
        match self {
            Of::Payment => (
                &[Succeeded, Failed, Unknown, Declined],
                "succeeded, failed, unknown or declined: an answer to the payment tells no more",
            ),
            // What does not decide anything is there to be told from what does.
            Of::Call => (
                &[Succeeded, Failed, Unknown, Declined, Absent, Cancelled],
                "succeeded, failed, unknown, absent, cancelled or declined",
            ),
        }
    }
}

/// Reads the rules of a field.
pub(super) fn rules(field: &str, of: Of, shapes: Vec<Value>, bad: Bad<'_>) -> Vec<Rule> {
    let (meanings, expected) = of.can_tell();
    let mut rules = Vec::with_capacity(shapes.len());
    for (index, shape) in shapes.into_iter().enumerate() {
        let here = format!("{field}[{index}]");
        let Some(shape) = RuleShape::read(shape, &here, bad) else {
            continue;
        };
        let means = shape.means.as_deref().and_then(Meaning::from_word);
        let means = means.filter(|means| meanings.contains(means));
        if shape.means.is_some() && means.is_none() {
            bad(&here, format!("means: expected {expected}"));
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
    bad: Bad<'_>,
) -> Option<(Source, Vec<String>)> {
    if at.is_some() != values.is_some() {
        bad(here, "\"at\" and \"in\" go together".into());
    }
    let texts = values.map(|values| texts(here, &values, bad));
    let source = at.map(|at| Source::parse(&at).map_err(|error| bad(here, error.to_string())));
    Some((source?.ok()?, texts?))
}

/// The texts of `in`, as they are compared with what stands in a body.
pub(super) fn texts(here: &str, values: &[Value], bad: Bad<'_>) -> Vec<String> {
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
