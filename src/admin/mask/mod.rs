//! A stored response fit to be looked at: what is secret in it is masked, what cannot be read for
//! secrets is not shown.
//!
//! Promises: nothing under a name that speaks of a secret is shown, and no card number anywhere. A
//! number that only looks like a card's is masked as well: this is for eyes, the stored bytes stay
//! as they are.

mod text;
mod words;
mod xml;

use serde_json::{Map, Value};
use std::borrow::Cow;
use words::is_secret;

/// What stands in place of what is masked.
pub(super) const MASK: &str = "********";

/// How deep a text inside a text is read before it is masked whole.
const DEEPEST: usize = 4;

/// Masks the response of an order document.
pub(super) fn document(document: &mut Value) {
    let Some(response) = document.get_mut("response").and_then(Value::as_object_mut) else {
        return;
    };
    let kind = content_type(response);
    if let Some(headers) = response.get_mut("headers") {
        *headers = json(headers, 0);
    }
    let shown = match (response.get("body_encoding"), response.get("body")) {
        (Some(Value::String(encoding)), Some(Value::String(body))) if encoding == "utf8" => {
            body_as(&kind, body)
        }
        _ => None,
    };
    response.insert("masked".into(), true.into());
    match shown {
        Some(shown) => response.insert("body".into(), shown.into()),
        None => response.insert("body".into(), Value::Null),
    };
}

fn content_type(response: &Map<String, Value>) -> String {
    let told = response.get("headers").and_then(|headers| headers["content-type"].as_str());
    let kind = told.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// A body by what it says it is; `None` for what cannot be read for secrets.
fn body_as(kind: &str, body: &str) -> Option<String> {
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        return Some(json(&value, 0).to_string());
    }
    match kind {
        "application/x-www-form-urlencoded" => Some(form(body)),
        "" | "text/plain" => Some(text::masked(body)),
        _ if kind.ends_with("xml") || kind == "text/html" => xml::masked(body),
        _ => None,
    }
}

fn json(value: &Value, depth: usize) -> Value {
    match value {
        _ if depth > DEEPEST * 16 => MASK.into(),
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| match is_secret(name) && !value.is_null() {
                true => (name.clone(), MASK.into()),
                false => (name.clone(), json(value, depth + 1)),
            })
            .collect(),
        Value::Array(list) => list.iter().map(|value| json(value, depth + 1)).collect(),
        Value::String(inner) => inner_text(inner, depth).into(),
        Value::Number(number) => match text::masked(&number.to_string()) {
            masked if masked == number.to_string() => value.clone(),
            masked => masked.into(),
        },
        other => other.clone(),
    }
}

/// A text inside a document may be a document itself.
fn inner_text(inner: &str, depth: usize) -> String {
    if inner.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str::<Value>(inner)
    {
        return json(&value, depth + 16).to_string();
    }
    text::masked(inner)
}

fn form(body: &str) -> String {
    let mut shown = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(body.as_bytes()) {
        let value = match is_secret(&name) {
            true => Cow::Borrowed(MASK),
            false => Cow::Owned(inner_text(&value, 0)),
        };
        // An asterisk stays as it is in a form.
        shown.append_pair(&name, &value);
    }
    shown.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(kind: &str, body: &str, expect: Option<&str>) {
        let mut order = json!({"key": "1", "response": {
            "status": 200, "headers": {"content-type": kind}, "body": body, "body_encoding": "utf8",
        }});
        document(&mut order);
        assert_eq!(order["response"]["body"].as_str(), expect, "{kind}: {body}");
    }

    #[test]
    fn json_is_masked_by_name_and_by_look() {
        let kind = "application/json; charset=utf-8";
        check(kind, r#"{"paid":true,"amount":100}"#, Some(r#"{"amount":100,"paid":true}"#));
        check(
            kind,
            r#"{"data":{"accessToken":"abc","card_no":4111111111111111,"state":"ok"}}"#,
            Some(r#"{"data":{"accessToken":"********","card_no":"********","state":"ok"}}"#),
        );
        check(
            kind,
            r#"{"note":"paid with 4111 1111 1111 1111","n":4111111111111111}"#,
            Some(r#"{"n":"************1111","note":"paid with ************1111"}"#),
        );
        check(
            kind,
            r#"{"raw":"{\"cvv\":\"123\"}","list":[{"sign":"x"}],"Authorization":{"a":1}}"#,
            Some(
                r#"{"Authorization":"********","list":[{"sign":"********"}],"raw":"{\"cvv\":\"********\"}"}"#,
            ),
        );
    }

    #[test]
    fn forms_and_xml_are_masked_by_name_and_by_look() {
        check(
            "application/x-www-form-urlencoded",
            "trade=1&sign=a%2Bb&card=4111+1111+1111+1111",
            Some("trade=1&sign=********&card=************1111"),
        );
        check(
            "text/xml",
            "<xml a='4111111111111111'><code><![CDATA[OK]]></code><sign>A<b>B</b></sign>\
             <n>4111111111111111</n></xml>",
            Some("<xml><code>OK</code><sign>********</sign><n>************1111</n></xml>"),
        );
    }

    #[test]
    fn what_cannot_be_read_for_secrets_is_not_shown() {
        check("application/octet-stream", "token abc", None);
        check("application/json", r#"{"token":"abc""#, None);
        check("text/xml", "<a><b></a>", None);
        let mut order =
            json!({"response": {"headers": {}, "body": "AAEC", "body_encoding": "base64"}});
        document(&mut order);
        assert_eq!(order["response"]["body"], Value::Null);
    }

    #[test]
    fn headers_are_masked_and_an_order_without_a_response_stays_as_it_is() {
        let mut order = json!({"response": {"headers": {"x-api-key": "k", "x-a": ["1", "2"]}}});
        document(&mut order);
        let expect = json!({"x-api-key": MASK, "x-a": ["1", "2"]});
        assert_eq!(order["response"]["headers"], expect);
        let mut bare = json!({"key": "4111111111111111"});
        document(&mut bare);
        assert_eq!(bare["key"], "4111111111111111");
    }

    #[test]
    fn a_document_inside_a_document_has_an_end() {
        let deep = (0..200).fold(String::from("1"), |inner, _| format!("[{inner}]"));
        // Deeper than the parser goes is not JSON to us, and not shown as JSON.
        check("application/json", &deep, None);
        let deep = (0..100).fold(json!({"pin": 1}), |inner, _| json!([inner])).to_string();
        let shown = body_as("application/json", &deep).unwrap_or_default();
        assert!(shown.contains(MASK) && !shown.contains("pin"), "{shown}");
    }
}
