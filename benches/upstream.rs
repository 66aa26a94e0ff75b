//! The payment service of the bench: quicker than anything that is measured, and it counts
//! what must come once.
//!
//! Reads as much HTTP as the bench sends and answers each request with the same bytes. A path that
//! begins with `/slow` is answered 20 ms late.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How late a slow path is answered.
const SLOW: Duration = Duration::from_millis(20);

/// What it says: as long as a payment service's answer, with the headers one has.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
Content-Type: application/json; charset=utf-8\r\nCache-Control: no-store\r\n\
X-Request-Id: 8f14e45fceea167a5a36dedd4bea2543\r\nContent-Length: 120\r\n\r\n\
{\"code\":\"0000\",\"msg\":\"success\",\"data\":{\"order\":\"20240001\",\"state\":\"PAID\",\
\"amount\":1999,\"paidAt\":\"2026-01-01T00:00:00Z\"}}";

/// Bytes of its body.
pub(crate) const BODY_LENGTH: usize = 120;

/// A running payment service.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    hits: Arc<AtomicU64>,
}

impl Upstream {
    /// Starts one on a thread of its own, which ends with the process.
    pub(crate) fn start() -> io::Result<Upstream> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let hits = Arc::new(AtomicU64::new(0));
        let counted = hits.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("upstream".into()).spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    // A connection that breaks is its peer's business.
                    tokio::spawn(serve(stream, counted.clone()));
                }
                #[expect(unreachable_code, reason = "names the type of the errors above")]
                io::Result::Ok(())
            })
        })?;
        Ok(Upstream { address, hits })
    }

    /// Slow requests it has answered or is answering.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, hits: Arc<AtomicU64>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some(end) = find(&buffer[..filled], b"\r\n\r\n") {
            let head = &buffer[..end];
            let slow = head.starts_with(b"POST /slow");
            let mut body = content_length(head);
            // What of the body is here already, then the rest of it.
            let here = body.min(filled - end - 4);
            buffer.copy_within(end + 4 + here..filled, 0);
            filled -= end + 4 + here;
            body -= here;
            while body > 0 {
                let room = body.min(buffer.len());
                let read = stream.read(&mut buffer[..room]).await?;
                if read == 0 {
                    return Ok(());
                }
                body -= read;
            }
            if slow {
                hits.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(SLOW).await;
            }
            stream.write_all(ANSWER).await?;
        }
    }
}

/// Where something begins.
pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

/// How long a body a head announces.
pub(crate) fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let value = |end: usize| {
        let (name, rest) = head[end + 1..].split_at_checked(NAME.len())?;
        if !name.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let line = rest.split(|byte| *byte == b'\r').next()?;
        std::str::from_utf8(line).ok()?.trim().parse().ok()
    };
    memchr::memchr_iter(b'\n', head).find_map(value).unwrap_or(0)
}
