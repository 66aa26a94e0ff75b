//! Asks the sidecar's admin plane how it is.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two questions.
const AGAIN: Duration = Duration::from_millis(20);

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Asks until it says that it is ready. The reasons it last gave when it does not in time.
pub(super) async fn ready(admin: SocketAddr, patience: Duration) -> Result<(), String> {
    let until = Instant::now() + patience;
    let mut last = "nobody answers".to_owned();
    while Instant::now() < until {
        match timeout_at(until, ask(admin)).await {
            Ok(Ok(answer)) if answer.starts_with("HTTP/1.1 200 ") => return Ok(()),
            Ok(Ok(answer)) => {
                let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                body.clone_into(&mut last);
            }
            Ok(Err(_)) | Err(_) => {}
        }
        sleep(AGAIN).await;
    }
    Err(last)
}

async fn ask(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
