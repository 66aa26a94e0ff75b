//! Watches a connection's request heads for one that tells its length in two ways.
//!
//! hyper resolves `Content-Length` beside `Transfer-Encoding` silently; a payment service behind us
//! might resolve it the other way. So the bytes are looked at before hyper sees them: heads line by
//! line, bodies stepped over by their length. Nothing is decided here; whoever handles the request
//! asks whether the mark is set. What is not HTTP at all hyper refuses by itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose incoming bytes are watched.
pub(super) struct Watched<S> {
    stream: S,
    watch: Watch,
}

impl<S> Watched<S> {
    /// Watches `stream`; `two_lengths` is set once a head tells its length in two ways.
    pub(super) fn new(stream: S, two_lengths: Arc<AtomicBool>) -> Watched<S> {
        Watched { stream, watch: Watch::new(two_lengths) }
    }
}

/// As much of a line as matters: the two headers' names, and a length's digits.
const LINE: usize = 64;

/// Where in the stream of requests the next byte stands.
struct Watch {
    at: At,
    line: Vec<u8>,
    head: Head,
    two_lengths: Arc<AtomicBool>,
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
}

impl Watch {
    fn new(two_lengths: Arc<AtomicBool>) -> Watch {
        Watch { at: At::Head, line: Vec::with_capacity(LINE), head: Head::default(), two_lengths }
    }

    fn see(&mut self, mut bytes: &[u8]) {
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
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        let room = LINE - self.line.len();
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        match end {
            None => &[],
            Some(end) => {
                self.end_line();
                self.line.clear();
                &bytes[end + 1..]
            }
        }
    }

    fn end_line(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        self.at = match self.at {
            At::Head if !line.is_empty() => {
                self.head.read(line);
                At::Head
            }
            // Empty lines before a request are passed over, as hyper does.
            At::Head if !self.head.begun => At::Head,
            At::Head => {
                let head = std::mem::take(&mut self.head);
                if head.chunked && head.length.is_some() {
                    self.two_lengths.store(true, Ordering::Relaxed);
                }
                match head.length {
                    _ if head.chunked => At::ChunkSize,
                    Some(length) if length > 0 => At::Body(length),
                    _ => At::Head,
                }
            }
            At::ChunkSize => match chunk_size(line) {
                0 => At::Trailer,
                // The line end behind a chunk belongs to it.
                size => At::Chunk(size.saturating_add(2)),
            },
            At::Trailer if line.is_empty() => At::Head,
            At::Trailer => At::Trailer,
            At::Body(left) => At::Body(left),
            At::Chunk(left) => At::Chunk(left),
        };
    }
}

impl Head {
    fn read(&mut self, line: &[u8]) {
        if !std::mem::replace(&mut self.begun, true) {
            return;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return;
        };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).ok();
            self.length = Some(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        }
    }
}

/// The size a chunk's line tells, its extensions aside; 0 for what is none, which hyper refuses.
fn chunk_size(line: &[u8]) -> u64 {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or(0)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.watch.see(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the mark is set after these bytes, however they are cut into pieces.
    fn check(bytes: &str, marked: bool) {
        for piece in [1, 2, 7, bytes.len()] {
            let mark = Arc::new(AtomicBool::new(false));
            let mut watch = Watch::new(mark.clone());
            bytes.as_bytes().chunks(piece).for_each(|piece| watch.see(piece));
            assert_eq!(mark.load(Ordering::Relaxed), marked, "{bytes:?} by {piece}");
        }
    }

    #[test]
    fn both_lengths_are_seen_in_either_order_and_any_case() {
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", true);
        check("POST / HTTP/1.1\ntransfer-encoding:chunked\nCONTENT-LENGTH:3\n\n", true);
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false);
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", false);
    }

    #[test]
    fn the_second_request_of_a_connection_is_watched_like_the_first() {
        let both = "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n";
        check(&format!("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab\r\n\r{both}"), true);
        check(&format!("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n{both}"), true);
        let chunks = "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let chunked = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        check(&chunked, false);
        check(&format!("{chunked}{both}"), true);
    }

    #[test]
    fn a_body_may_say_what_it_likes() {
        let body = "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let length = body.len();
        check(&format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}"), false);
        check(
            &format!(
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            ),
            false,
        );
    }
}
