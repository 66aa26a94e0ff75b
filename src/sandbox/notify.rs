//! Callbacks: after a charge the sandbox tells the merchant, and repeats itself until it is heard.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    behaviour::Callbacks,
    orders::{Trade, new_number},
};

/// Waits before each try. Real channels repeat for a day; a developer cannot wait for that.
pub(super) const DELAYS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
/// The merchant answers within this time, or it was not heard.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024;
/// Callbacks on their way at one time; the others wait.
const MAX_SENDING: usize = 64;

/// Sends callbacks to one URL.
#[derive(Debug)]
pub(super) struct Notifier {
    target: Target,
    delays: Vec<Duration>,
    sending: Semaphore,
}

impl Notifier {
    /// # Errors
    /// `url` is not an `http://` URL with a host.
    pub(super) fn new(url: &str, delays: Vec<Duration>) -> io::Result<Self> {
        let target = Target::parse(url).ok_or_else(|| {
            let msg = format!("the notify URL must be http://host[:port][/path], not {url:?}");
            io::Error::new(io::ErrorKind::InvalidInput, msg)
        })?;
        Ok(Self { target, delays, sending: Semaphore::new(MAX_SENDING) })
    }

    /// Tells the merchant about one charge. Every repeat is the same event, word for word.
    pub(super) async fn announce(&self, order: &str, trade: &Trade, callbacks: Callbacks) {
        let Ok(notify_id) = new_number("N") else {
            return;
        };
        let body = json!({
            "orderId": order,
            "tradeStatus": "SUCCESS",
            "amount": trade.amount,
            "notifyId": notify_id,
        });
        let body = Bytes::from(body.to_string());
        for delay in &self.delays {
            sleep(*delay).await;
            let heard = self.send(body.clone()).await;
            tracing::debug!(order, ?heard, "the sandbox sent a callback");
            if matches!(heard, Ok(true)) && callbacks != Callbacks::EveryRepeat {
                return;
            }
        }
        if callbacks != Callbacks::EveryRepeat {
            tracing::warn!(order, "no callback was acknowledged; the sandbox gives up");
        }
    }

    /// One try: whether the merchant answered 200 `success`.
    async fn send(&self, body: Bytes) -> Result<bool, CallbackError> {
        let _turn = self.sending.acquire().await;
        timeout(ANSWER_TIMEOUT, self.target.post(body)).await.map_err(|_| CallbackError::Late)?
    }
}

/// Why nobody heard a callback.
#[derive(Debug, thiserror::Error)]
enum CallbackError {
    #[error("no answer in time")]
    Late,
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer cannot be read: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
}

/// A plain-http URL, taken apart.
#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"))?;
        // The resolver wants an IPv6 address without the brackets it wears in a URL.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self {
            host,
            port: authority.port_u16().unwrap_or(80),
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    async fn post(&self, body: Bytes) -> Result<bool, CallbackError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::post(&self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let exchange = async move {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let text = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            let text = text.map_err(CallbackError::Answer)?.to_bytes();
            Ok(status == StatusCode::OK && text.trim_ascii() == b"success")
        };
        // The connection ends when the exchange drops its sender; what breaks it reaches the
        // exchange as an error.
        let (heard, _) = tokio::join!(exchange, connection);
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_are_taken() {
        let check = |url, expected: Option<(&str, u16, &str)>| {
            let target = Target::parse(url);
            let seen = target.as_ref().map(|t| (t.host.as_str(), t.port, t.path.as_str()));
            assert_eq!(seen, expected, "{url}");
        };
        check("http://shop/notify?a=1", Some(("shop", 80, "/notify?a=1")));
        check("http://[::1]:8080", Some(("::1", 8080, "/")));
        check("https://shop/notify", None);
        check("/notify", None);
        check("shop:80", None);
        check("", None);
    }
}
