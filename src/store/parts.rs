//! The parts of a record that the sidecar writes, what was asked and what was answered, and a whole
//! record where a script hands it over as it lies in Redis. `lua/common.lua` says how one reads.

use super::lifecycle;
use super::orders::millis;
use crate::model::identity::Order;
use crate::model::response::{Kept, StoredResponse, pack, unpack};
use crate::model::seal::{CannotSeal, Secrets};
use crate::model::trace::TraceContext;
use bytes::Bytes;
use hyper::StatusCode;
use std::borrow::Cow;
use std::time::Duration;

/// What was asked and by whom, packed the way scripts open it (MessagePack), its length in front;
/// `ask` is how long after its outcome became unknown the order is first asked about, where it can be;
/// `trace` the place of what is done about it. Of the callers' digests, one per secret, the writing one
/// is kept.
pub(super) fn asked(
    order: &Order,
    callers: &str,
    ask: Option<Duration>,
    trace: Option<TraceContext>,
) -> Vec<u8> {
    let caller = &callers[..callers.find(',').unwrap_or(callers.len())];
    let ask = ask.map_or(String::new(), |ask| millis(ask).to_string());
    let step = lifecycle::step(order);
    let trace = trace.map_or(String::new(), |trace| trace.stored());
    let words: [(&str, &str); 7] = [
        ("route", &order.route),
        ("key", order.key.as_str()),
        ("scope", &order.scope),
        ("caller", caller),
        ("ask", &ask),
        ("move", &step),
        ("trace", &trace),
    ];
    let mut packed = Vec::with_capacity(256);
    packed.extend_from_slice(HEAD);
    // A map of so many pairs; what is empty is left out.
    packed.push(0x80 | words.iter().filter(|(_, word)| !word.is_empty()).count() as u8);
    for (name, word) in words.into_iter().filter(|(_, word)| !word.is_empty()) {
        pack_text(&mut packed, name);
        pack_text(&mut packed, word);
    }
    let length = (packed.len() - HEAD.len()).to_string();
    packed.splice(LENGTH_AT..LENGTH_AT, length.into_bytes());
    packed
}

/// The line before what was asked: a length goes in before its end.
const HEAD: &[u8] = b"asked \n";
const LENGTH_AT: usize = HEAD.len() - 1;

fn pack_text(packed: &mut Vec<u8>, text: &str) {
    match text.len() {
        length @ 0..32 => packed.push(0xa0 | length as u8),
        length @ 32..256 => packed.extend([0xd9, length as u8]),
        length => {
            packed.push(0xdb);
            packed.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    packed.extend_from_slice(text.as_bytes());
}

/// The text of one word of what was asked, behind its length.
pub(super) fn word_of<'a>(packed: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let (_, mut rest) = packed.split_first()?;
    while !rest.is_empty() {
        let (name, value);
        (name, rest) = unpack_text(rest)?;
        (value, rest) = unpack_text(rest)?;
        if name == wanted.as_bytes() {
            return Some(value);
        }
    }
    None
}

/// A text, and what follows it.
fn unpack_text(packed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mark, rest) = packed.split_first()?;
    let (length, rest) = match mark {
        0xa0..=0xbf => (usize::from(mark & 0x1f), rest),
        0xd9 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0xda => rest.split_first_chunk().map(|(b, rest)| (u16::from_be_bytes(*b).into(), rest))?,
        0xdb => {
            rest.split_first_chunk().map(|(b, rest)| (u32::from_be_bytes(*b) as usize, rest))?
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// There is no answer: the order ended without one.
const NO_ANSWER: &[u8] = b"no";

/// A response as it is kept: `no`; `large 200`, one that was too large; or `yes 200 57`, a line feed,
/// so many bytes of headers, and the body.
pub(super) fn answered(kept: &Kept, order: &Order, secrets: &Secrets) -> Cow<'static, [u8]> {
    let response = match kept {
        Kept::Nothing => return NO_ANSWER.into(),
        Kept::TooLarge(status) => return too_large(*status),
        Kept::Response(response) => response,
    };
    match closed(&response.body, &order.id, secrets) {
        Ok(body) => {
            let headers = pack(&response.headers);
            let mut all = Vec::with_capacity(16 + headers.len() + body.len());
            all.extend_from_slice(b"yes ");
            all.extend_from_slice(response.status.as_str().as_bytes());
            all.push(b' ');
            all.extend_from_slice(headers.len().to_string().as_bytes());
            all.push(b'\n');
            all.extend_from_slice(&headers);
            all.extend_from_slice(&body);
            all.into()
        }
        // What cannot be sealed is not stored in clear; the outcome is stored all the same, and
        // duplicates are told that the response is not.
        Err(error) => {
            tracing::error!(order = %order.id, %error, "a response was not stored");
            too_large(response.status)
        }
    }
}

fn too_large(status: StatusCode) -> Cow<'static, [u8]> {
    format!("large {}", status.as_str()).into_bytes().into()
}

/// The same the other way round. A response that cannot be read back counts as one that was not
/// stored: it must not be replayed wrong, and the order must not run again.
pub(super) fn kept(answered: Bytes, id: &str, secrets: &Secrets) -> Kept {
    let end = answered.iter().position(|byte| *byte == b'\n').unwrap_or(answered.len());
    let mut words = answered[..end].split(|byte| *byte == b' ');
    let mut next = || words.next().and_then(|word| std::str::from_utf8(word).ok());
    let (word, status) = (next(), next().and_then(|status| status.parse().ok()));
    let Some(status) = status.and_then(|status: u16| StatusCode::from_u16(status).ok()) else {
        return Kept::Nothing;
    };
    let length: Option<usize> = next().and_then(|length| length.parse().ok());
    match (word, length) {
        (Some("yes"), Some(length)) if length < answered.len() - end => {
            let headers = answered.slice(end + 1..=end + length);
            opened(status, &headers, answered.slice(end + 1 + length..), id, secrets)
        }
        _ => Kept::TooLarge(status),
    }
}

/// A response of headers and body as they are stored.
pub(super) fn opened(
    status: StatusCode,
    headers: &Bytes,
    body: Bytes,
    id: &str,
    secrets: &Secrets,
) -> Kept {
    let body = match body.first() {
        Some(&SEALED) => secrets.open(id.as_bytes(), &body[1..]).ok().map(Bytes::from),
        Some(&CLEAR) => Some(body.slice(1..)),
        _ => Some(body),
    };
    match (unpack(headers), body) {
        (Some(headers), Some(body)) => Kept::Response(StoredResponse { status, headers, body }),
        _ => {
            tracing::error!(order_id = id, "a stored response cannot be read back");
            Kept::TooLarge(status)
        }
    }
}

/// A body as it is written: sealed to its order or event when there is a secret.
pub(super) fn closed<'a>(
    body: &'a Bytes,
    id: &str,
    secrets: &Secrets,
) -> Result<Cow<'a, [u8]>, CannotSeal> {
    Ok(if secrets.is_keyed() {
        Cow::Owned([&[SEALED][..], &secrets.seal(id.as_bytes(), body)?].concat())
    } else if body.first() == Some(&SEALED) || body.first() == Some(&CLEAR) {
        // A body that begins like one of our marks is marked itself, so that none is mistaken.
        Cow::Owned([&[CLEAR][..], body].concat())
    } else {
        Cow::Borrowed(body)
    })
}

/// First byte of a sealed body. Neither mark can begin text, so most bodies in clear carry none.
const SEALED: u8 = 0xfe;
/// First byte of a body in clear that would otherwise begin like a mark.
const CLEAR: u8 = 0xff;
