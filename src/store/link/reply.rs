//! Replies as they stand on the wire (RESP2, the protocol every Redis begins with).

use redis::Value;

/// Lists within lists, at the most; scripts answer with one.
const DEPTH: usize = 8;

/// As many values as a list is given room for before they have come.
const ROOM: usize = 64;

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It has not all come: so many bytes are needed, at the least.
    Wants(usize),
    /// No Redis writes that. What follows cannot be read either.
    Malformed,
}

/// The reply that these bytes begin with, and its length.
pub(super) fn read(bytes: &[u8]) -> Result<(Value, usize), Stop> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(DEPTH)?;
    Ok((value, reader.at))
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        let line = self.line()?;
        let (kind, rest) = line.split_first().ok_or(Stop::Malformed)?;
        Ok(match kind {
            b'+' if rest == b"OK" => Value::Okay,
            b'+' => Value::SimpleString(text(rest)?.to_owned()),
            b':' => Value::Int(text(rest)?.parse().map_err(|_| Stop::Malformed)?),
            b'-' => error(line)?,
            b'$' => match size(rest)? {
                None => Value::Nil,
                Some(size) => Value::BulkString(self.bulk(size)?.to_vec()),
            },
            b'*' if depth > 0 => match size(rest)? {
                None => Value::Nil,
                Some(count) => {
                    let mut values = Vec::with_capacity(count.min(ROOM));
                    for _ in 0..count {
                        values.push(self.value(depth - 1)?);
                    }
                    Value::Array(values)
                }
            },
            _ => return Err(Stop::Malformed),
        })
    }

    /// What stands before the next end of line.
    fn line(&mut self) -> Result<&'b [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or(Stop::Wants(self.bytes.len() + 1))?;
        self.at += end + 1;
        rest[..end].strip_suffix(b"\r").ok_or(Stop::Malformed)
    }

    /// So many bytes and an end of line.
    fn bulk(&mut self, size: usize) -> Result<&'b [u8], Stop> {
        let end = self.at.checked_add(size).ok_or(Stop::Malformed)?;
        let next = end.checked_add(2).ok_or(Stop::Malformed)?;
        let whole = self.bytes.get(self.at..next).ok_or(Stop::Wants(next))?;
        self.at = next;
        whole.strip_suffix(b"\r\n").ok_or(Stop::Malformed)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Stop> {
    std::str::from_utf8(bytes).map_err(|_| Stop::Malformed)
}

/// The size a string or a list announces; `None` for one that is not there.
fn size(digits: &[u8]) -> Result<Option<usize>, Stop> {
    match digits {
        b"-1" => Ok(None),
        [digit @ b'0'..=b'9'] => Ok(Some(usize::from(digit - b'0'))),
        digits => text(digits)?.parse().map(Some).map_err(|_| Stop::Malformed),
    }
}

/// An error line as the library reads it: it knows the words.
fn error(line: &[u8]) -> Result<Value, Stop> {
    match redis::parse_redis_value(&[line, b"\r\n"].concat()) {
        Ok(error @ Value::ServerError(_)) => Ok(error),
        _ => Err(Stop::Malformed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::mutate;

    const REPLIES: [&str; 9] = [
        "+OK\r\n",
        "+QUEUED\r\n",
        ":-42\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "$0\r\n\r\n",
        "-NOSCRIPT No matching script. Please use EVAL.\r\n",
        "*4\r\n$7\r\ngranted\r\n$1\r\n1\r\n$2\r\n\r\n\r\n$4\r\nnone\r\n",
        "*3\r\n:1\r\n*2\r\n$-1\r\n*0\r\n-ERR nested\r\n",
    ];

    /// What the library makes of them is what we make of them, and not before all has come.
    #[test]
    fn replies_are_read_as_the_library_reads_them() {
        for reply in REPLIES {
            let (value, length) = read(&[reply.as_bytes(), b"+more"].concat()).unwrap();
            assert_eq!(length, reply.len(), "{reply:?}");
            assert_eq!(value, redis::parse_redis_value(reply.as_bytes()).unwrap());
            for cut in 0..reply.len() {
                let wants = read(&reply.as_bytes()[..cut]);
                assert!(
                    matches!(wants, Err(Stop::Wants(more)) if more > cut && more <= reply.len()),
                    "{reply:?} at {cut}: {wants:?}"
                );
            }
        }
    }

    #[test]
    fn what_no_redis_writes_is_refused() {
        let deep = "*1\r\n".repeat(DEPTH + 1) + ":1\r\n";
        for reply in [
            "\r\n",
            "?\r\n",
            "+OK\n",
            ":1a\r\n",
            "$1\r\nab\r\n",
            "$-2\r\n",
            "*x\r\n",
            deep.as_str(),
        ] {
            assert_eq!(read(reply.as_bytes()), Err(Stop::Malformed), "{reply:?}");
        }
        assert_eq!(read(b"$18446744073709551615\r\n"), Err(Stop::Malformed));
    }

    #[test]
    fn fuzz_whatever_is_read_the_library_reads_too() {
        const WORDS: [&[u8]; 10] =
            [b"\r\n", b"\n", b"*", b"$", b":", b"-", b"+", b"-1", b"99999999", b"*2\r\n"];
        let mut dice = mutate::Dice::new(11);
        for round in 0..20_000 {
            let [text, other] = [0, 1].map(|more| REPLIES[(round + more) % REPLIES.len()]);
            let bytes = mutate::mutate(&mut dice, text.as_bytes(), other.as_bytes(), &WORDS);
            if let Ok((value, length)) = read(&bytes) {
                let theirs = redis::parse_redis_value(&bytes[..length]);
                assert_eq!(Ok(value), theirs, "{}", bytes.escape_ascii());
            }
        }
    }
}
