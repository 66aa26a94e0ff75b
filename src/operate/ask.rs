//! One request to the admin plane of a running sidecar.

use crate::config::AdminPlane;
use crate::payload::Payload;
use crate::upstream::{self, Upstream};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// How long the admin plane may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks, and returns the status and the body, a JSON document laid out for people.
pub(super) fn ask(
    plane: &AdminPlane,
    method: Method,
    target: &str,
    body: String,
) -> Result<(StatusCode, String), String> {
    let request = request(plane, method, target, body)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let authority = plane.address.to_string();
    let admin = Upstream::new(upstream::Config { authority, connect_timeout: PATIENCE });
    let asking = async {
        let sent = admin.send(request.into(), tokio::time::sleep(PATIENCE), || true).await;
        let (response, _connection) = sent.map_err(|error| error.to_string())?.into_parts();
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok::<_, String>((status, body.to_bytes()))
    };
    let (status, body) = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, asking).await })
        .map_err(|_| "no answer in time")??;
    let document = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|document| serde_json::to_string_pretty(&document).ok());
    Ok((status, document.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned())))
}

fn request(
    plane: &AdminPlane,
    method: Method,
    target: &str,
    body: String,
) -> Result<Request<Payload>, String> {
    let mut request = Request::new(Payload::Full(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().map_err(|_| "no such place")?;
    let host = HeaderValue::from_str(&plane.address.to_string()).map_err(|_| "no such host")?;
    request.headers_mut().insert(HOST, host);
    if let Some(token) = &plane.token {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let bearer = bearer.map_err(|_| "ADMIN_TOKEN cannot stand in a header")?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    Ok(request)
}
