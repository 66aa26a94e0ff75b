//! Bodies keys are read from: JSON, forms, XML.

use super::{Target, led_to, parts};
use onceward::model::json::{BadJson, Document, Node, canonical, is_pointer};
use onceward::model::{form, xml};
use serde_json::Value;

/// Held to serde_json: what both read they read alike, what it refuses is refused here, and what is
/// refused here alone is refused for a reason it does not know. The canonical text is canonical,
/// and the same value.
#[test]
fn json() {
    let words: [&[u8]; 24] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\"a\":",
        b"\"orderId\"",
        b"/orderId",
        b"/a/0",
        b"~1",
        b"~0",
        b"null",
        b"true",
        b"-0",
        b"1e400",
        b"0.5",
        b"9007199254740993",
        b"\\u0041",
        b"\\ud83d",
        b"\\ude00",
        b"\\\"",
        b"\xe4\xbd\xa0",
        b"[[[[[[[[[[[[[[[[",
    ];
    Target { name: "json", words: &words, runs: 20_000 }.fuzz(|text| {
        let Some([pointer, body]) = parts(text) else {
            return 0;
        };
        // Theirs does not pass over a byte order mark.
        let unmarked = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let theirs: Result<Value, _> = serde_json::from_slice(unmarked);
        let pointer = String::from_utf8_lossy(pointer);
        let document = match (Document::parse(body), &theirs) {
            (Ok(document), Ok(_)) => document,
            // A number beyond a float's range is JSON all the same; an order number may be one.
            (Ok(document), Err(error)) if error.to_string().contains("out of range") => document,
            (Ok(_), Err(error)) => panic!("read here, refused there: {error}"),
            (Err(BadJson::TooDeep), _) => return 1,
            (Err(error), Err(_)) => return led_to(error as u8),
            (Err(error), Ok(value)) => panic!("{error}: but it is {value}"),
        };
        let there = document.at(&pointer);
        if let (Ok(node), Ok(value), Ok(_)) = (&there, &theirs, canonical(body, &[])) {
            match (node, value.pointer(&pointer)) {
                (None, None) => {}
                (Some(node), Some(value)) => check_node(node, value),
                (ours, theirs) => panic!("{ours:?} at {pointer:?}, or {theirs:?}"),
            }
        }
        assert_eq!(there == Err(BadJson::Pointer), !is_pointer(&pointer));
        let spelled = canonical(body, &[]);
        if let Ok(once) = &spelled {
            assert_eq!(canonical(once, &[]).as_ref(), Ok(once), "not canonical");
            let again: Result<Value, _> = serde_json::from_slice(once);
            assert_eq!(again.ok(), theirs.ok(), "another value");
        }
        led_to((kind(&there), spelled.is_ok(), body.len() / 64))
    });
}

fn kind(node: &Result<Option<Node<'_>>, BadJson>) -> u8 {
    match node {
        Err(error) => *error as u8,
        Ok(None) => 10,
        Ok(Some(Node::Null)) => 11,
        Ok(Some(Node::Bool(_))) => 12,
        Ok(Some(Node::Text(text))) => 13 + text.len().min(9) as u8,
        Ok(Some(Node::Integer(_))) => 30,
        Ok(Some(Node::Float(_))) => 31,
        Ok(Some(Node::Array(_))) => 32,
        Ok(Some(Node::Object(_))) => 33,
    }
}

fn check_node(node: &Node<'_>, value: &Value) {
    let alike = match (node, value) {
        (Node::Null, Value::Null) | (Node::Array(_), Value::Array(_)) => true,
        (Node::Object(_), Value::Object(_)) => true,
        (Node::Bool(ours), Value::Bool(theirs)) => ours == theirs,
        (Node::Text(ours), Value::String(theirs)) => ours == theirs,
        // Beyond 64 bits theirs is a float; ours are the digits as they stand.
        (Node::Integer(digits), Value::Number(number)) => {
            number.is_f64() || number.to_string() == *digits
        }
        (Node::Float(_), Value::Number(number)) => number.is_f64(),
        _ => false,
    };
    assert!(alike, "{node:?} is not {value}");
}

/// Held to form_urlencoded: a field is found exactly where that finds it once, and without bad
/// escapes the value is its value. The fingerprint's spelling is one spelling, of the same pairs.
#[test]
fn form() {
    let words: [&[u8]; 14] = [
        b"&",
        b"=",
        b"+",
        b"%",
        b"%2",
        b"%26",
        b"%3D",
        b"%c4%e3",
        b"%00",
        b"a",
        b"order",
        b"&&",
        b"==",
        b"order=1&order=2",
    ];
    Target { name: "form", words: &words, runs: 20_000 }.fuzz(|text| {
        let Some([name, body]) = parts(text) else {
            return 0;
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let theirs: Vec<(String, String)> =
            form_urlencoded::parse(body).into_owned().filter(|(other, _)| *other == name).collect();
        let ours = form::field(body, &name);
        match &ours {
            Ok(Some(value)) => assert_eq!(theirs, [(name.clone(), value.clone())]),
            Ok(None) => assert_eq!(theirs, []),
            // Theirs replaces what is no UTF-8, ours refuses it.
            Err(form::BadForm::Twice) => assert!(theirs.len() >= 2),
            Err(_) => {}
        }
        let spelled = form::without(body, &[]);
        assert_eq!(form::without(&spelled, &[]), spelled, "not one spelling");
        let pairs = |text: &[u8]| form_urlencoded::parse(text).into_owned().collect::<Vec<_>>();
        // One difference remains: a pair that is only `=`.
        assert_eq!(pairs(&spelled), pairs(body), "other pairs");
        let left = form::without(body, std::slice::from_ref(&name));
        assert!(!matches!(form::field(&left, &name), Ok(Some(_))), "it was to be left out");
        led_to((
            ours.map(|value| value.map(|value| value.len().min(9))).map_err(|e| e as u8),
            theirs.len(),
        ))
    });
}

/// Held to what must not matter: a comment, white space, an element around it all. What is found is
/// trimmed, and was there.
#[test]
fn xml() {
    let words: [&[u8]; 20] = [
        b"<",
        b">",
        b"</",
        b"/>",
        b"<xml>",
        b"</xml>",
        b"<order>",
        b"</order>",
        b"<order/>",
        b"x:",
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"&amp;",
        b"&#65;",
        b"&#x0;",
        b"&e;",
        b"<?p ?>",
        b"<!DOCTYPE a>",
    ];
    Target { name: "xml", words: &words, runs: 20_000 }.fuzz(|text| {
        let Some([name, body]) = parts(text) else {
            return 0;
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let found = xml::element(body, &name);
        let declared = body.starts_with(b"<?xml") || body.starts_with("\u{feff}".as_bytes());
        if let (Ok(found), false) = (&found, declared) {
            let around = |before: &str, after: &str| {
                xml::element(&[before.as_bytes(), body, after.as_bytes()].concat(), &name)
            };
            assert_eq!(around("<!-- c -->\n", " \t<!-- c -->").as_ref(), Ok(found));
            match around("<around>", "</around>") {
                Ok(other) => assert_eq!(&other, found),
                Err(xml::BadXml::TooDeep | xml::BadXml::Nested | xml::BadXml::Twice) => {}
                Err(error) => panic!("well-formed, and with an element around it: {error}"),
            }
        }
        if let Ok(Some(text)) = &found {
            assert_eq!(text.trim_matches([' ', '\t', '\r', '\n']), text);
            assert!(String::from_utf8_lossy(body).contains(&name), "it is not there");
        }
        led_to((
            found.map(|text| text.map(|text| text.len().min(20))).map_err(|e| e as u8),
            body.len() / 64,
        ))
    });
}
