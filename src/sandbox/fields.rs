//! What a caller sent: read once, refused with a sentence that names the field.

use hyper::HeaderMap;
use serde_json::{Map, Value};

use super::{amount::Amount, answers::Refusal};

/// The longest order number or other name, as the product accepts them.
const LONGEST_NAME: usize = 255;

/// The members of a JSON body, or the parameters of a query.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn from_body(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Refusal::bad_input("the body must be a JSON object")),
            Err(error) => Err(Refusal::bad_input(format!("the body is not JSON: {error}"))),
        }
    }

    pub(super) fn from_query(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into(), Value::String(value.into()))).collect())
    }

    /// A name of visible ASCII; an integer stands for its digits.
    pub(super) fn name(&self, field: &str) -> Result<String, Refusal> {
        let missing = || Refusal::bad_input(format!("`{field}` is missing"));
        self.optional_name(field)?.ok_or_else(missing)
    }

    /// Like [`Fields::name`]; none when absent or `null`.
    pub(super) fn optional_name(&self, field: &str) -> Result<Option<String>, Refusal> {
        let text = match self.0.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if number.is_u64() => number.to_string(),
            Some(_) => String::new(),
        };
        if (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Some(text))
        } else {
            Err(Refusal::bad_input(format!(
                "`{field}` must be a string of 1 to {LONGEST_NAME} visible ASCII characters, \
                 or a whole number"
            )))
        }
    }

    pub(super) fn amount(&self) -> Result<Amount, Refusal> {
        let amount = self.0.get("amount").ok_or_else(|| Refusal::bad_input("`amount` is missing"));
        let wrong = |why| Refusal::bad_input(format!("`amount` {why}"));
        Amount::try_from(amount?.clone()).map_err(wrong)
    }

    /// A count of at least one.
    pub(super) fn count(&self, field: &str) -> Result<u64, Refusal> {
        let text = self.name(field)?;
        text.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
            Refusal::bad_input(format!("`{field}` must be a whole number of at least 1"))
        })
    }
}

/// Who asked: the headers a guarded request carries, as received.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    pub(super) key: Option<String>,
    pub(super) fence: Option<String>,
}

impl Origin {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            let value = headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self { key: text("idempotency-key"), fence: text("onceward-fence") }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end in a panic")]
mod tests {
    use super::*;

    #[test]
    fn an_integer_stands_for_its_digits() {
        let fields = Fields::from_body(br#"{"orderId": 20240001, "num": "3"}"#).unwrap();
        assert_eq!(fields.name("orderId").unwrap(), "20240001");
        assert_eq!(fields.count("num").unwrap(), 3);
    }

    #[test]
    fn a_refusal_names_the_field() {
        let check = |body: &str| {
            let fields = Fields::from_body(body.as_bytes()).unwrap();
            let refusal = fields.name("orderId").unwrap_err().to_string();
            assert!(refusal.starts_with("400") && refusal.contains("`orderId`"), "{refusal}");
        };
        check("{}");
        check(r#"{"orderId": null}"#);
        check(r#"{"orderId": ""}"#);
        check(r#"{"orderId": "a b"}"#);
        check(r#"{"orderId": 1.5}"#);
        check(r#"{"orderId": ["A"]}"#);
        check(&format!(r#"{{"orderId": "{}"}}"#, "x".repeat(LONGEST_NAME + 1)));
        assert!(Fields::from_body(b"[]").is_err());
        assert!(Fields::from_body(b"{").is_err());
    }
}
