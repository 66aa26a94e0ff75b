//! Watches a connection's bytes for a request whose framing could be read in two ways.
//!
//! hyper resolves `Content-Length` beside `Transfer-Encoding`, equal lengths told twice and bare line
//! feeds silently; whoever stands before or behind us might resolve them the other way. So the
//! bytes are looked at before hyper sees them: heads line by line, bodies stepped over by their
//! length. Nothing is decided here; whoever handles the request asks whether it is in doubt. What
//! this reader cannot follow is in doubt too, so it never loses its place unnoticed. What is not
//! HTTP at all hyper refuses by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The first request on a connection that is in doubt, counted from 1; 0 while there is none.
/// Everything behind that request is in doubt as well.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<AtomicU64>);

impl Doubt {
    /// Whether the request of that number is in doubt.
    pub(super) fn about(&self, request: u64) -> bool {
        (1..=request).contains(&self.0.load(Ordering::Relaxed))
    }

    fn begin(&self, request: u64) {
        // The first one counts.
        let _ = self.0.compare_exchange(0, request, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// As much of a line as matters: the two headers' names, and a length's digits.
const LINE: usize = 64;

/// Where in the stream of requests the next byte stands.
pub(super) struct Watch {
    at: At,
    begun: Begun,
    head: Head,
    /// Heads seen to their end.
    requests: u64,
    doubt: Doubt,
}

enum At {
    Head,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    Trailer,
}

#[derive(Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    chunked: bool,
    doubtful: bool,
}

/// What came of a line before its end did: few are cut by the end of a read.
#[derive(Default)]
struct Begun {
    /// Its first [`LINE`] bytes.
    start: Vec<u8>,
    /// How many there were.
    length: usize,
    last: Option<u8>,
}

/// A line without its end.
#[derive(Clone, Copy)]
struct Line<'b> {
    /// Its first [`LINE`] bytes.
    start: &'b [u8],
    /// Whether there are more.
    cut: bool,
    last: Option<u8>,
}

impl Watch {
    pub(super) fn new(doubt: Doubt) -> Watch {
        Watch { at: At::Head, begun: Begun::default(), head: Head::default(), requests: 0, doubt }
    }

    /// Whether every request seen so far was seen to its end.
    pub(super) fn between_requests(&self) -> bool {
        matches!(self.at, At::Head) && !self.head.begun && self.begun.length == 0
    }

    /// Whether a head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.at, At::Head) && !self.between_requests()
    }

    pub(super) fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.at {
                At::Body(left) => self.skip(left, bytes, At::Body, At::Head),
                At::Chunk(left) => self.skip(left, bytes, At::Chunk, At::ChunkSize),
                At::Head | At::ChunkSize | At::Trailer => self.read_line(bytes),
            };
        }
    }

    /// Steps over `left` bytes; what follows stands at `then`.
    fn skip<'b>(&mut self, left: u64, bytes: &'b [u8], stay: fn(u64) -> At, then: At) -> &'b [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - here as u64;
        self.at = if left == 0 { then } else { stay(left) };
        &bytes[here..]
    }

    fn read_line<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.begun.add(bytes);
            return &[];
        };
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        if self.begun.length == 0 {
            self.end_line(Line::whole(line));
        } else {
            let mut begun = std::mem::take(&mut self.begun);
            begun.add(line);
            self.end_line(begun.line());
        }
        rest
    }

    fn end_line(&mut self, line: Line<'_>) {
        self.at = match self.at {
            // Empty lines before a request are passed over, as hyper does.
            At::Head if line.is_empty() && !self.head.begun => At::Head,
            At::Head if line.is_empty() => self.end_head(line),
            At::Head => {
                self.head.read(line);
                At::Head
            }
            At::ChunkSize => match line.chunk_size() {
                Some(0) => At::Trailer,
                // The line end behind a chunk belongs to it.
                Some(size) => At::Chunk(size.saturating_add(2)),
                None => {
                    self.doubt.begin(self.requests);
                    At::Trailer
                }
            },
            At::Trailer => {
                if !line.ends_well() {
                    self.doubt.begin(self.requests);
                }
                if line.is_empty() { At::Head } else { At::Trailer }
            }
            At::Body(left) => At::Body(left),
            At::Chunk(left) => At::Chunk(left),
        };
    }

    fn end_head(&mut self, line: Line<'_>) -> At {
        let head = std::mem::take(&mut self.head);
        self.requests += 1;
        if head.doubtful || !line.ends_well() || (head.chunked && head.length.is_some()) {
            self.doubt.begin(self.requests);
        }
        match head.length {
            _ if head.chunked => At::ChunkSize,
            Some(length) if length > 0 => At::Body(length),
            _ => At::Head,
        }
    }
}

impl Head {
    fn read(&mut self, line: Line<'_>) {
        self.doubtful |= !line.ends_well();
        if !std::mem::replace(&mut self.begun, true) {
            return;
        }
        let text = line.text();
        // Hardly any line begins like the two that matter, with white space before it or without.
        let other = |byte: &u8| byte.is_ascii_alphabetic() && !b"ctCT".contains(byte);
        if text.first().is_some_and(other) {
            return;
        }
        let Some(colon) = memchr::memchr(b':', text) else {
            return;
        };
        let name = text[..colon].trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = number(text[colon + 1..].trim_ascii(), 10).filter(|_| !line.cut);
            self.doubtful |= length.is_none() || self.length.is_some();
            self.length = Some(length.unwrap_or(0));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.doubtful |= self.chunked;
            self.chunked = true;
        }
    }
}

impl Begun {
    fn add(&mut self, piece: &[u8]) {
        let room = LINE - self.start.len();
        self.start.extend_from_slice(&piece[..piece.len().min(room)]);
        self.length = self.length.saturating_add(piece.len());
        self.last = piece.last().copied().or(self.last);
    }

    fn line(&self) -> Line<'_> {
        Line { start: &self.start, cut: self.length > LINE, last: self.last }
    }
}

impl<'b> Line<'b> {
    fn whole(bytes: &'b [u8]) -> Line<'b> {
        let start = &bytes[..bytes.len().min(LINE)];
        Line { start, cut: bytes.len() > LINE, last: bytes.last().copied() }
    }

    fn text(self) -> &'b [u8] {
        self.start.strip_suffix(b"\r").unwrap_or(self.start)
    }

    fn is_empty(self) -> bool {
        self.text().is_empty()
    }

    /// By a carriage return before its line feed.
    fn ends_well(self) -> bool {
        self.last == Some(b'\r')
    }

    /// The size a chunk's line tells, its extensions aside.
    fn chunk_size(self) -> Option<u64> {
        let text = self.text();
        let end = text.iter().position(|byte| *byte == b';');
        if !self.ends_well() || (self.cut && end.is_none()) {
            return None;
        }
        number(text[..end.unwrap_or(text.len())].trim_ascii(), 16)
    }
}

/// Digits and nothing else.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    // `from_str_radix` would take a sign.
    let plain = digits.chars().all(|digit| digit.is_digit(radix));
    u64::from_str_radix(digits, radix).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate;

    /// The first request in doubt after these bytes, however they are cut into pieces; 0 for none.
    fn check(bytes: &str, expect: u64) {
        for piece in [1, 2, 7, bytes.len()] {
            let doubt = Doubt::default();
            let mut watch = Watch::new(doubt.clone());
            bytes.as_bytes().chunks(piece).for_each(|piece| watch.see(piece));
            let found = doubt.0.load(Ordering::Relaxed);
            assert_eq!(found, expect, "{bytes:?} by {piece}");
        }
    }

    /// Whoever watches in pieces sees what one who watches all at once sees.
    #[test]
    fn fuzz_however_it_is_cut_into_pieces_it_is_judged_alike() {
        const WORDS: [&[u8]; 16] = [
            b"\r\n",
            b"\n",
            b"\r",
            b"POST / HTTP/1.1\r\n",
            b"Content-Length: 3\r\n",
            b"content-length:",
            b"Transfer-Encoding: chunked\r\n",
            b"\r\n\r\n",
            b"0\r\n\r\n",
            b"3;a=b\r\nabc",
            b"ffffffffffffffff",
            b"18446744073709551616",
            b" ",
            b"\t",
            b"abc",
            b"Upgrade: x\r\n",
        ];
        let seeds = [
            post("Content-Length: 3\r\n") + "abc" + BOTH,
            post("Transfer-Encoding: chunked\r\n")
                + "3;a=b\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n"
                + BOTH,
        ];
        let mut dice = mutate::Dice::new(7);
        for round in 0..20_000 {
            let [text, other] = [0, 1].map(|more| seeds[(round + more) % 2].as_bytes());
            let text = mutate::mutate(&mut dice, text, other, &WORDS);
            let seen = |largest: usize, dice: &mut mutate::Dice| {
                let doubt = Doubt::default();
                let (mut watch, mut left) = (Watch::new(doubt.clone()), &text[..]);
                while !left.is_empty() {
                    let (piece, rest) = left.split_at((1 + dice.below(largest)).min(left.len()));
                    watch.see(piece);
                    left = rest;
                }
                (doubt.0.load(Ordering::Relaxed), watch.between_requests(), watch.requests)
            };
            let whole = seen(1 << 30, &mut dice);
            for largest in [1, 5, 60] {
                assert_eq!(seen(largest, &mut dice), whole, "{}", text.escape_ascii());
            }
        }
    }

    fn post(headers: &str) -> String {
        format!("POST / HTTP/1.1\r\n{headers}\r\n")
    }

    const BOTH: &str = "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n";

    #[test]
    fn both_lengths_are_seen_in_either_order_and_any_case() {
        check(&post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 1);
        check(&post("transfer-encoding:chunked\r\nCONTENT-LENGTH:3\r\n"), 1);
        check(&post("Transfer-Encoding: chunked\r\n"), 0);
        check(&(post("Content-Length: 3\r\n") + "abc"), 0);
    }

    #[test]
    fn a_length_that_is_told_twice_or_oddly_is_in_doubt() {
        check(&post("Content-Length: 3\r\nContent-Length: 3\r\n"), 1);
        check(&post("Content-Length: +3\r\n"), 1);
        check(&post("Content-Length:\r\n"), 1);
        check(&post(&format!("Content-Length:{}3\r\n", " ".repeat(60))), 1);
        check(&post(&format!("Content-Length: {}3\r\n", "0".repeat(60))), 1);
        let chunked = post("Transfer-Encoding: chunked\r\n");
        check(&format!("{chunked}{}1\r\na\r\n0\r\n\r\n", "0".repeat(64)), 1);
        check(&format!("{chunked}1 {}\r\na\r\n", " ".repeat(64)), 1);
        check(&format!("{chunked}+1\r\na\r\n"), 1);
        check(&format!("{chunked}1;{}\r\na\r\n0\r\n\r\n", "x".repeat(200)), 0);
    }

    #[test]
    fn a_bare_line_feed_is_in_doubt_wherever_lines_count() {
        check("POST / HTTP/1.1\nHost: x\r\n\r\n", 1);
        check("POST / HTTP/1.1\r\nHost: x\n\r\n", 1);
        check("POST / HTTP/1.1\r\nHost: x\r\n\n", 1);
        let chunked = post("Transfer-Encoding: chunked\r\n");
        check(&format!("{chunked}1\na\r\n"), 1);
        check(&format!("{chunked}0\r\nx: y\n\r\n"), 1);
        check("\n\r\nPOST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n\n\n", 0);
    }

    #[test]
    fn the_second_request_of_a_connection_is_watched_like_the_first() {
        check(&(post("Content-Length: 5\r\n") + "ab\r\n\r" + BOTH), 2);
        check(&format!("\r\n\r\n{}{BOTH}", post("Host: x\r\n")), 2);
        let chunks = "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let chunked = post("Transfer-Encoding: chunked\r\n") + chunks;
        check(&chunked, 0);
        check(&format!("{chunked}{chunked}{BOTH}{chunked}"), 3);
    }

    #[test]
    fn a_request_before_the_doubtful_one_is_beyond_doubt() {
        let doubt = Doubt::default();
        Watch::new(doubt.clone()).see((post("") + BOTH).as_bytes());
        assert_eq!([1, 2, 3].map(|request| doubt.about(request)), [false, true, true]);
    }

    #[test]
    fn a_body_may_say_what_it_likes() {
        let body = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\n";
        let length = body.len();
        check(&(post(&format!("Content-Length: {length}\r\n")) + body), 0);
        let chunked = post("Transfer-Encoding: chunked\r\n");
        check(&format!("{chunked}{length:x}\r\n{body}\r\n0\r\n\r\n"), 0);
    }

    #[test]
    fn it_knows_whether_a_request_is_seen_to_its_end() {
        let after = |bytes: &str| {
            let mut watch = Watch::new(Doubt::default());
            watch.see(bytes.as_bytes());
            watch.between_requests()
        };
        assert!(after(""));
        assert!(after(&(post("Content-Length: 3\r\n") + "abc")));
        assert!(!after(&(post("Content-Length: 3\r\n") + "ab")));
        assert!(!after("POST / HT"));
        assert!(!after("POST / HTTP/1.1\r\n"));
    }
}
