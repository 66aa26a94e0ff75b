//! Fields of a form (`application/x-www-form-urlencoded`) and of a query string.
//!
//! Promises: one field by its decoded name, and one spelling for the fingerprint. Refuses a field
//! that appears twice. Refuses to know what a field means, and the encoding of values nobody asked
//! for: gateways still post forms in GBK.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use thiserror::Error;

/// Why a form cannot be relied upon. The messages never repeat the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadForm {
    /// A name, or the value asked for, is not UTF-8.
    #[error("the form is not UTF-8")]
    NotUtf8,
    /// A `%` without two hex digits in a name or in the value asked for.
    #[error("the form holds a bad percent escape")]
    Escape,
    /// The field appears twice.
    #[error("a form field appears twice")]
    Twice,
}

/// The value of the one field called `name`; `None` when there is none.
///
/// # Errors
/// [`BadForm`] when the field appears twice, or when a name or the value cannot be read.
pub fn field(bytes: &[u8], name: &str) -> Result<Option<String>, BadForm> {
    let mut found = None;
    for (spelled, value) in pairs(bytes) {
        if text(spelled)? != name {
            continue;
        }
        if found.is_some() {
            return Err(BadForm::Twice);
        }
        found = Some(text(value.unwrap_or_default())?);
    }
    Ok(found)
}

/// The pairs whose decoded names are not in `ignore`, in their order and in one spelling.
///
/// Takes any bytes. `a` and `a=` stay different: some services tell them apart, and two requests
/// must never share a fingerprint by accident.
pub fn without(bytes: &[u8], ignore: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (spelled, value) in pairs(bytes) {
        let name = decode(spelled);
        if ignore.iter().any(|field| field.as_bytes() == &*name) {
            continue;
        }
        if !out.is_empty() {
            out.push(b'&');
        }
        encode(&name, &mut out);
        if let Some(value) = value {
            out.push(b'=');
            encode(&decode(value), &mut out);
        }
    }
    out
}

/// Names and values as spelled; no value where there is no `=`.
fn pairs(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let spelled = bytes.split(|byte| *byte == b'&');
    spelled.filter(|pair| !pair.is_empty()).map(|pair| {
        match pair.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&pair[..equals], Some(&pair[equals + 1..])),
            None => (pair, None),
        }
    })
}

fn text(spelled: &[u8]) -> Result<String, BadForm> {
    // One parser keeps a bad escape, another drops it: not a name or a value to rely on.
    let mut escapes = spelled.split(|byte| *byte == b'%').skip(1);
    if !escapes.all(|tail| tail.len() >= 2 && tail[..2].iter().all(u8::is_ascii_hexdigit)) {
        return Err(BadForm::Escape);
    }
    String::from_utf8(decode(spelled).into_owned()).map_err(|_| BadForm::NotUtf8)
}

fn decode(spelled: &[u8]) -> Cow<'_, [u8]> {
    if !spelled.contains(&b'+') {
        return percent_decode(spelled).into();
    }
    let plus_is_space = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
    let spaced: Vec<u8> = spelled.iter().map(plus_is_space).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

fn encode(decoded: &[u8], out: &mut Vec<u8>) {
    for piece in form_urlencoded::byte_serialize(decoded) {
        out.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::noise;

    fn check(form: &str, expect: Result<Option<&str>, BadForm>) {
        let found = field(form.as_bytes(), "id");
        assert_eq!(found.as_ref().map(Option::as_deref), expect.as_ref().map(|e| *e));
    }

    fn check_without(form: &str, expect: &str) {
        let ignore = ["sign".to_owned(), "time stamp".to_owned()];
        let left = without(form.as_bytes(), &ignore);
        assert_eq!(String::from_utf8_lossy(&left), expect);
        assert_eq!(without(&left, &ignore), left, "written once, always the same");
    }

    #[test]
    fn a_field_is_found_by_its_decoded_name() {
        check("id=1", Ok(Some("1")));
        check("a=2&id=1&b", Ok(Some("1")));
        check("%69%64=1", Ok(Some("1")));
        check("&&id=1&&", Ok(Some("1")));
        check("id=a=b", Ok(Some("a=b")));
        check("id=a+b%20c%2B", Ok(Some("a b c+")));
        check("id=%E8%AE%A2", Ok(Some("订")));
        check("id=", Ok(Some("")));
        check("id", Ok(Some("")));
        check("ID=1&id[]=2&xid=3", Ok(None));
        check("a=id", Ok(None));
        check("", Ok(None));
    }

    #[test]
    fn a_field_that_may_be_read_in_two_ways_is_refused() {
        check("id=1&id=1", Err(BadForm::Twice));
        check("id=1&%69d=2", Err(BadForm::Twice));
        check("id&id=", Err(BadForm::Twice));
        check("id=%FF", Err(BadForm::NotUtf8));
        check("%FF=1&id=1", Err(BadForm::NotUtf8));
        check("id=%ED%A0%80", Err(BadForm::NotUtf8));
        check("id=%", Err(BadForm::Escape));
        check("id=%1", Err(BadForm::Escape));
        check("id=%+1", Err(BadForm::Escape));
        check("id=%zz", Err(BadForm::Escape));
        check("i%4=1&id=1", Err(BadForm::Escape));
    }

    #[test]
    fn values_nobody_asked_for_may_be_anything() {
        check("subject=%B6%A9&id=1&note=100%", Ok(Some("1")));
    }

    #[test]
    fn the_rest_is_written_one_way_in_its_order() {
        check_without("b=2&sign=x&a=1", "b=2&a=1");
        check_without("%73ign=x&time+stamp=1&time%20stamp=2&signed=1", "signed=1");
        check_without("a=%41%2f~&&b=x y", "a=A%2F%7E&b=x+y");
        check_without("a=%e8%ae%a2", "a=%E8%AE%A2");
        check_without("a&b=", "a&b=");
        check_without("a=%zz&b=%", "a=%25zz&b=%25");
        check_without("=&sign", "=");
        check_without("", "");
    }

    #[test]
    fn no_byte_moves_between_fields_unseen() {
        let spellings = ["a=1&b=2", "a=1%26b=2", "a%3D1&b=2", "b=2&a=1", "a=1&b=2&b=2", "a=1&b"];
        for (i, one) in spellings.iter().enumerate() {
            for other in &spellings[i + 1..] {
                assert_ne!(without(one.as_bytes(), &[]), without(other.as_bytes(), &[]));
            }
        }
    }

    #[test]
    fn large_and_random_input_is_survived() {
        assert_eq!(field(&vec![b'&'; 1 << 20], "id"), Ok(None));
        assert_eq!(field(&vec![b'%'; 1 << 20], "id"), Err(BadForm::Escape));
        assert_eq!(field(&b"a&".repeat(1 << 19), "id"), Ok(None));
        for alphabet in [&noise::bytes()[..], b"id=&%26+"] {
            noise::each(20_000, alphabet, |input| {
                let _ = field(input, "id");
                let once = without(input, &["id".to_owned()]);
                assert!(!matches!(field(&once, "id"), Ok(Some(_))));
                assert_eq!(without(&once, &[]), once);
            });
        }
    }
}
