//! The way to the collector: one HTTP/1.1 connection, kept as long as it is good.

use crate::trace::{Collector, Config};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// What is read of an answer, to leave the connection clean; collectors answer in a few bytes.
const MOST_ANSWER: usize = 64 * 1024;

/// Why spans were not taken.
pub(super) enum Refusal {
    /// They may be offered again, after so long where the collector says so.
    Later(String, Option<Duration>),
    /// They will not be.
    Never(String),
}

/// The way there.
pub(super) struct Way {
    collector: Collector,
    headers: hyper::HeaderMap,
    timeout: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// Made once it is needed.
    tls: Option<TlsConnector>,
}

impl Way {
    pub(super) fn new(config: &Config) -> Way {
        let mut headers: hyper::HeaderMap = config.headers.iter().cloned().collect();
        let host = &config.collector.host;
        let authority = format!("{host}:{}", config.collector.port);
        if let Ok(authority) = HeaderValue::from_str(&authority) {
            headers.insert(HOST, authority);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let collector = config.collector.clone();
        Way { collector, headers, timeout: config.timeout, connection: None, tls: None }
    }

    /// Offers spans once, for no longer than the collector may take.
    pub(super) async fn post(&mut self, body: Bytes) -> Result<(), Refusal> {
        match tokio::time::timeout(self.timeout, self.offer(body)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => {
                self.connection = None;
                Err(Refusal::Later(error.to_string(), None))
            }
            Err(_) => {
                self.connection = None;
                Err(Refusal::Later("no answer in time".into(), None))
            }
        }
    }

    async fn offer(&mut self, body: Bytes) -> io::Result<Result<(), Refusal>> {
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && connection.ready().await.is_err()
        {
            kept = None;
        }
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.collector.path.parse().map_err(io::Error::other)?;
        *request.headers_mut() = self.headers.clone();
        let response = connection.send_request(request).await.map_err(io::Error::other)?;
        let judged = judge(&response);
        if Limited::new(response.into_body(), MOST_ANSWER).collect().await.is_ok() {
            self.connection = Some(connection);
        }
        Ok(judged)
    }

    async fn connect(&mut self) -> io::Result<SendRequest<Full<Bytes>>> {
        let Collector { host, port, tls, .. } = &self.collector;
        let name = host.trim_matches(['[', ']']).to_owned();
        let stream = TcpStream::connect((name.as_str(), *port)).await?;
        if !tls {
            return shaken(TokioIo::new(stream)).await;
        }
        let connector = match &self.tls {
            Some(connector) => connector.clone(),
            None => self.tls.insert(connector(&self.collector)?).clone(),
        };
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        shaken(TokioIo::new(connector.connect(name, stream).await?)).await
    }
}

async fn shaken<S>(stream: TokioIo<S>) -> io::Result<SendRequest<Full<Bytes>>>
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (connection, driver) = handshake(stream).await.map_err(io::Error::other)?;
    // Ends with the connection, and that with this room.
    tokio::spawn(driver);
    Ok(connection)
}

/// What an answer means; which may be tried again is OTLP's own list.
fn judge<B>(response: &Response<B>) -> Result<(), Refusal> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let why = format!("it answered {}", status.as_u16());
    let again = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    if !again.contains(&status) {
        return Err(Refusal::Never(why));
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Err(Refusal::Later(why, after.and_then(|text| text.parse().ok()).map(Duration::from_secs)))
}

fn connector(collector: &Collector) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match &collector.ca_file {
        Some(file) => {
            for certificate in CertificateDer::pem_file_iter(file).map_err(io::Error::other)? {
                roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
