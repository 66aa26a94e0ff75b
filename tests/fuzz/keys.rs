//! What names an order and who may pay it: key headers, sources, tokens, paths.

use super::{Target, led_to, parts};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use onceward::model::key::Key;
use onceward::model::path::{Pattern, normal};
use onceward::model::source::{MustRead, Source, View};
use onceward::model::token::{Presented, Token};

/// A key is visible ASCII, of a length; quoted, bare or with white space around it, it is the same.
#[test]
fn key_header() {
    let words: [&[u8]; 8] = [b"\"", b"\\\"", b"\\\\", b",", b" ", b";a=1", b"\\x", b"order-1"];
    Target { name: "key_header", words: &words, runs: 20_000 }.fuzz(|text| {
        let key = Key::from_header(text);
        if let Ok(key) = &key {
            let plain = key.as_str();
            assert!(
                (1..=255).contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_graphic())
            );
            let quoted = format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""));
            assert_eq!(Key::from_header(quoted.as_bytes()).as_ref(), Ok(key));
            assert_eq!(Key::from_header(format!("  {quoted}\t").as_bytes()).as_ref(), Ok(key));
            assert_eq!(Key::from_text(plain).as_ref(), Ok(key));
            if !plain.contains([',', '"']) {
                assert_eq!(Key::from_header(plain.as_bytes()).as_ref(), Ok(key));
            }
        }
        led_to((
            key.map(|key| key.as_str().len() / 16).map_err(|error| error as u8),
            text.len() / 32,
        ))
    });
}

/// A source says of itself what it was read from; a key it finds is the text it finds.
#[test]
fn sources() {
    let words: [&[u8]; 12] = [
        b"header:",
        b"json:/",
        b"form:",
        b"query:",
        b"path:",
        b"xml:",
        b"a",
        b"application/json",
        b"application/x-www-form-urlencoded",
        b"; charset=gbk",
        b"{\"a\":1}",
        b"a=1",
    ];
    Target { name: "source", words: &words, runs: 10_000 }.fuzz(|text| {
        let Some([source, kind, query, body]) = parts(text) else {
            return 0;
        };
        let Ok(source) = Source::parse(&String::from_utf8_lossy(source)) else {
            return 1;
        };
        assert_eq!(Source::parse(&source.to_string()).as_ref(), Ok(&source));
        let mut headers = HeaderMap::new();
        if let Ok(kind) = HeaderValue::from_bytes(kind) {
            headers.insert(CONTENT_TYPE, kind);
        }
        let query = String::from_utf8_lossy(query);
        let must_read = MustRead::Apparent;
        let view = View { headers: &headers, query: &query, params: None, body, must_read };
        let (key, text) = (source.key(&view), source.text(&view));
        if !matches!(source, Source::Header(_)) {
            match (&key, &text) {
                (Ok(Some(key)), Ok(Some(text))) => {
                    assert_eq!(Key::from_text(text).as_ref(), Ok(key))
                }
                (Ok(None), Ok(None)) | (Err(_), _) => {}
                other => panic!("{other:?}"),
            }
        }
        led_to((std::mem::discriminant(&source), key.is_ok(), text.map(|text| text.is_some()).ok()))
    });
}

/// Only what was issued is read as what was issued: another text is another token, or none.
#[test]
fn tokens() {
    let issued = Token::draw(None).unwrap();
    let words: [&[u8]; 5] = [issued.text().as_bytes(), b"=", b"+", b"/", b"A"];
    Target { name: "token", words: &words, runs: 10_000 }.fuzz(|text| {
        let presented = Presented::parse(text);
        if let Some(presented) = &presented {
            assert_eq!(text.len(), 44);
            assert_eq!(presented.hash == issued.hash(), text == issued.text().as_bytes());
        }
        led_to((presented.map(|token| token.kept_in.is_some()), text.len().min(64)))
    });
}

/// A path in its normal spelling is in its normal spelling, and patterns match those.
#[test]
fn paths() {
    let words: [&[u8]; 16] = [
        b"/", b"//", b"/./", b"/../", b"%2f", b"%2e", b"%61", b"%", b"%00", b";a=1", b"\\", b"{a}",
        b"{", b"*", b"pay", b"?",
    ];
    Target { name: "path", words: &words, runs: 20_000 }.fuzz(|text| {
        let Some([pattern, path]) = parts(text) else {
            return 0;
        };
        let path = String::from_utf8_lossy(path);
        let spelled = normal(&path);
        if let Some(spelled) = &spelled {
            assert_eq!(normal(spelled).as_ref(), Some(spelled), "not normal");
            assert!(spelled.starts_with('/') && !spelled.contains("//"), "{spelled}");
            assert!(!spelled.split('/').any(|part| matches!(part, "." | "..")), "{spelled}");
        }
        let pattern = Pattern::parse(&String::from_utf8_lossy(pattern));
        let mut matched = false;
        if let Ok(pattern) = &pattern {
            assert_eq!(
                Pattern::parse(pattern.as_str()).map(|p| p.as_str().to_owned()),
                Ok(pattern.as_str().to_owned())
            );
            matched = spelled.as_ref().is_some_and(|path| pattern.matches(path).is_some());
        }
        led_to((spelled.is_some(), pattern.is_ok(), matched, path.len() / 16))
    });
}
