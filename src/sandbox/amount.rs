//! An amount of money, kept in the form the caller wrote it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// More than zero, at most twelve digits and two decimals, in the caller's currency unit; a JSON
/// number or a string of one. It is echoed and recorded exactly as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Amount(Value);

/// The value is not an [`Amount`].
#[derive(Debug, thiserror::Error)]
#[error("must be more than 0, with at most 12 digits and 2 decimals, as a number or a string")]
pub struct NotAnAmount;

impl TryFrom<Value> for Amount {
    type Error = NotAnAmount;

    fn try_from(value: Value) -> Result<Self, NotAnAmount> {
        let good = match &value {
            Value::String(text) => is_amount(text),
            Value::Number(number) => is_amount(&number.to_string()),
            _ => false,
        };
        if good { Ok(Self(value)) } else { Err(NotAnAmount) }
    }
}

impl From<Amount> for Value {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

fn is_amount(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    (1..=12).contains(&whole.len())
        && (1..=2).contains(&decimals.len())
        && digits(whole)
        && digits(decimals)
        && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_positive_with_two_decimals() {
        for good in [json!(1), json!(9.9), json!("9.90"), json!("0.01"), json!(999_999_999_999_u64)]
        {
            assert_eq!(Amount::try_from(good.clone()).map(Value::from).ok(), Some(good));
        }
        for bad in [
            json!(0),
            json!("0.00"),
            json!(-1),
            json!("1.234"),
            json!("1."),
            json!(".5"),
            json!("1e3"),
            json!(1e30),
            json!("1000000000000"),
            json!(""),
            json!(null),
            json!([1]),
        ] {
            assert!(Amount::try_from(bad.clone()).is_err(), "{bad}");
        }
    }
}
