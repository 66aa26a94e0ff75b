//! `corrupt`: one byte of a body is another. The last digit is: what is read still reads well and
//! says something else, another amount mostly. A body without digits has its middle byte changed.

use super::{At, Deed, Kind, Side, TRUE, when_true};
use bytes::Bytes;

pub(in crate::fault) const KIND: Kind = Kind {
    word: "corrupt",
    at: &[
        At::Request,
        At::UpstreamRequest,
        At::UpstreamResponse,
        At::Response,
        At::Query,
        At::Cancel,
        At::Callback,
    ],
    of_call: Side::After,
    takes: TRUE,
    read: |value| when_true(value, Deed::Corrupt),
};

/// The body with one byte changed; an empty one stays as it is.
pub fn corrupt(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    let digit = bytes.iter_mut().rev().find(|byte| byte.is_ascii_digit());
    if let Some(digit) = digit {
        // 9 becomes 8 and the others one more: the last digit of a number of one stays no zero.
        *digit = if *digit == b'9' { b'8' } else { *digit + 1 };
    } else {
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_digit_is_another_or_the_middle_byte_is() {
        let cases = [("{\"a\":100}", "{\"a\":101}"), ("9a", "8a"), ("abc", "acc"), ("", "")];
        for (body, changed) in cases {
            assert_eq!(corrupt(&Bytes::from(body)), changed, "{body}");
        }
    }
}
