//! Where in a trace one is: the W3C's `traceparent`, read, written, and as a record keeps it.
//! <https://www.w3.org/TR/trace-context/>

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The header that carries it.
pub const TRACEPARENT: &str = "traceparent";

/// What vendors add to it; it means nothing without.
pub const TRACESTATE: &str = "tracestate";

/// One span's place: the trace it is in, its own name, and whether anybody keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
    /// Whether it is recorded.
    pub sampled: bool,
}

/// Bytes of a context without its flags.
const IDS: usize = 24;

/// The flag that says it is recorded.
const SAMPLED: u8 = 1;

impl TraceContext {
    /// Reads a `traceparent`; what is malformed is none, as the standard wants it.
    pub fn parse(text: &[u8]) -> Option<TraceContext> {
        // A later version may have more behind another dash.
        let (known, more) = text.split_at_checked(55)?;
        let version = hex::<1>(&known[..2])?[0];
        let whole = more.is_empty() || (version > 0 && more.starts_with(b"-"));
        let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        if version == 0xff || !whole || !dashes {
            return None;
        }
        let (trace, span) = (hex(&known[3..35])?, hex(&known[36..52])?);
        let flags = hex::<1>(&known[53..])?[0];
        let named = trace != [0; 16] && span != [0; 8];
        named.then_some(TraceContext { trace, span, sampled: flags & SAMPLED != 0 })
    }

    /// As a `traceparent`.
    pub fn header(&self) -> String {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.sampled))
    }

    /// As a record keeps it, 32 letters; nothing where nobody keeps the trace itself.
    pub fn stored(&self) -> String {
        match self.sampled {
            true => URL_SAFE_NO_PAD.encode([&self.trace[..], &self.span].concat()),
            false => String::new(),
        }
    }

    /// What [`TraceContext::stored`] wrote; none for anything else.
    pub fn from_stored(text: &[u8]) -> Option<TraceContext> {
        let mut bytes = [0; IDS];
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (trace, span) = bytes.split_first_chunk()?;
        let context = TraceContext { trace: *trace, span: *span.first_chunk()?, sampled: true };
        (read == IDS).then_some(context)
    }
}

/// Bytes from lower-case hexadecimal, the only spelling the standard knows.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, two) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(two[0])? << 4 | digit(two[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const WHOLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn check(text: &str, good: bool) {
        assert_eq!(TraceContext::parse(text.as_bytes()).is_some(), good, "{text}");
    }

    #[test]
    fn a_context_is_read_as_it_was_written() {
        let context = TraceContext::parse(WHOLE.as_bytes()).unwrap();
        assert_eq!((context.header().as_str(), context.sampled), (WHOLE, true));
        assert_eq!(TraceContext::from_stored(context.stored().as_bytes()), Some(context));
        assert_eq!(context.stored().len(), 32);
        let unkept = TraceContext { sampled: false, ..context };
        assert_eq!(unkept.header(), WHOLE.replace("-01", "-00"));
        assert_eq!(unkept.stored(), "");
    }

    #[test]
    fn what_is_malformed_is_none() {
        check(&WHOLE.replace("-01", "-03"), true);
        check(&WHOLE.replacen("00", "01", 1), true);
        check(&format!("{}-more", WHOLE.replacen("00", "01", 1)), true);
        check(&format!("{WHOLE}-more"), false);
        check(&WHOLE.replacen("00", "ff", 1), false);
        check(&WHOLE.to_uppercase(), false);
        check(&WHOLE.replace("b7ad6b7169203331", "0000000000000000"), false);
        check(&WHOLE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), false);
        check(&WHOLE[..54], false);
        check(&WHOLE.replace('-', "_"), false);
        check("", false);
        for text in ["", "AAAA", &"A".repeat(31), &"A".repeat(33), &"=".repeat(32)] {
            assert_eq!(TraceContext::from_stored(text.as_bytes()), None, "{text}");
        }
    }
}
