//! A queued request as it is written: one string, sealed to its order when there is a secret.

use crate::model::identity::Order;
use crate::model::response::{pack, unpack};
use crate::model::seal::{CannotSeal, Secrets};
use bytes::Bytes;
use hyper::http::request;
use hyper::{Method, Request, Uri};

/// First byte of what is sealed, and of what is not.
const SEALED: u8 = 1;
const CLEAR: u8 = 0;

/// Writes a request down: `METHOD target\n`, the length of the packed headers, these, the body.
///
/// # Errors
/// When there is a secret and nothing can be sealed: it is not written in clear instead.
pub(super) fn close(
    head: &request::Parts,
    body: &[u8],
    order: &Order,
    secrets: &Secrets,
) -> Result<Vec<u8>, CannotSeal> {
    let headers = pack(&head.headers);
    let mut plain = Vec::with_capacity(headers.len() + body.len() + 64);
    plain
        .extend_from_slice(format!("{} {}\n{}\n", head.method, head.uri, headers.len()).as_bytes());
    plain.extend_from_slice(&headers);
    plain.extend_from_slice(body);
    let (mark, text) = match secrets.is_keyed() {
        true => (SEALED, secrets.seal(&name(&order.id), &plain)?),
        false => (CLEAR, plain),
    };
    Ok([&[mark][..], &text].concat())
}

/// Reads it back; `None` when it is not what was written, or the secret is another.
pub(super) fn open(written: &[u8], id: &str, secrets: &Secrets) -> Option<(request::Parts, Bytes)> {
    let plain = match written.split_first()? {
        (&SEALED, sealed) => secrets.open(&name(id), sealed).ok()?,
        (&CLEAR, plain) => plain.to_vec(),
        _ => return None,
    };
    let plain = Bytes::from(plain);
    let (first, rest) = line(&plain)?;
    let (length, rest) = line(&plain.slice(rest..)).map(|(l, at)| (l, rest + at))?;
    let (method, target) = first.split_once(' ')?;
    let body_at = rest.checked_add(length.parse().ok()?).filter(|at| *at <= plain.len())?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = target.parse::<Uri>().ok()?;
    *request.headers_mut() = unpack(&plain.slice(rest..body_at))?;
    Some((request.into_parts().0, plain.slice(body_at..)))
}

/// What it is sealed to: a response of the same order never opens as its request.
fn name(id: &str) -> Vec<u8> {
    format!("request {id}").into_bytes()
}

/// A line, and where the next begins.
fn line(bytes: &[u8]) -> Option<(String, usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((String::from_utf8(bytes[..end].to_vec()).ok()?, end + 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::model::key::Key;

    fn check(secrets: &Secrets, body: &[u8]) {
        let order = Order::new("pay".into(), "", Key::from_text("1").unwrap());
        let request = Request::post("/pay?a=1&b=%0A").header("x-a", "1").header("x-a", "2");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let written = close(&head, body, &order, secrets).unwrap();
        let (read, read_body) = open(&written, &order.id, secrets).unwrap();
        assert_eq!((read.method, read.uri, read.headers), (head.method, head.uri, head.headers));
        assert_eq!(read_body, body);
        let open_cut = |at: usize| open(&written[..at], &order.id, secrets);
        assert!(open_cut(0).is_none() && open_cut(8).is_none());
        if secrets.is_keyed() {
            assert!(open(&written, "another", secrets).is_none());
            assert!(open(&written, &order.id, &Secrets::none()).is_none());
            assert!(!written.windows(4).any(|four| four == b"/pay"));
        }
    }

    #[test]
    fn a_request_comes_back_as_it_was() {
        for secrets in [Secrets::none(), Secrets::parse("a secret of 16 b").unwrap()] {
            for body in [&b""[..], b"{}", b"\n\r\n\0\xff\xfe1 2\n3", &[0; 100_000]] {
                check(&secrets, body);
            }
        }
    }
}
