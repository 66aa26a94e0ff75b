//! `onceward order`: an operator's view of one order, through the admin plane of a running sidecar.

use crate::config::Config;
use crate::payload::Payload;
use crate::upstream::{self, Upstream};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::BodyExt;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// How long the admin plane may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to do about which order.
#[derive(Subcommand)]
pub enum Act {
    /// Print the order with its history
    Show(Which),
    /// Cancel it: a tombstone where nothing was sent, else through the route's cancel call
    Cancel(Reasoned),
    /// Say how an order of unknown outcome ended
    Resolve {
        /// Which order, and why
        #[command(flatten)]
        reasoned: Reasoned,
        /// How it ended
        #[arg(long, value_parser = ["succeeded", "failed", "cancelled"])]
        state: String,
    },
    /// Let an order of unknown outcome run once more: nothing reached the payment service
    Release(Reasoned),
}

/// An order.
#[derive(Args)]
pub struct Which {
    /// Its route's name
    route: String,
    /// Its order number
    key: String,
    /// Its partition of keys, where its route has SCOPE
    #[arg(long, default_value = "")]
    scope: String,
}

/// An order, and why.
#[derive(Args)]
pub struct Reasoned {
    #[command(flatten)]
    which: Which,
    /// Why, for the order's history
    #[arg(long)]
    why: Option<String>,
}

/// Does it: 0 when it is done, 1 when it could not be, 64 where the admin plane refuses the
/// question itself.
pub fn main(config: &Config, act: Act) -> ExitCode {
    let (which, verb, wish) = match act {
        Act::Show(which) => (which, None, Value::Null),
        Act::Cancel(Reasoned { which, why }) => (which, Some("cancel"), json!({"why": why})),
        Act::Release(Reasoned { which, why }) => (which, Some("release"), json!({"why": why})),
        Act::Resolve { reasoned: Reasoned { which, why }, state } => {
            (which, Some("resolve"), json!({"state": state, "why": why}))
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(ask(config, &which, verb, &wish)));
    match asked {
        Ok((status, document)) if status.is_success() => {
            println!("{document}");
            ExitCode::SUCCESS
        }
        Ok((status, document)) => {
            eprintln!("onceward: {} answered {status}:\n{document}", config.admin_listen);
            ExitCode::from(if status == StatusCode::BAD_REQUEST { 64 } else { 1 })
        }
        Err(error) => {
            eprintln!("onceward: the admin plane at {}: {error}", config.admin_listen);
            ExitCode::FAILURE
        }
    }
}

async fn ask(
    config: &Config,
    which: &Which,
    verb: Option<&str>,
    wish: &Value,
) -> Result<(StatusCode, String), String> {
    let text = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let verb_part = verb.map(|verb| format!("/{verb}")).unwrap_or_default();
    let target = format!(
        "/admin/orders/{}/{}{verb_part}?scope={}",
        text(&which.route),
        text(&which.key),
        text(&which.scope)
    );
    let body = if verb.is_some() { Bytes::from(wish.to_string()) } else { Bytes::new() };
    let mut request = Request::new(Payload::Full(body));
    if verb.is_some() {
        *request.method_mut() = Method::POST;
    }
    *request.uri_mut() = target.parse().map_err(|_| "no such place")?;
    let authority = config.admin_listen.to_string();
    let host = HeaderValue::from_str(&authority).map_err(|_| "no such host")?;
    request.headers_mut().insert(HOST, host);
    if let Some(token) = &config.admin_token {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let bearer = bearer.map_err(|_| "ADMIN_TOKEN cannot stand in a header")?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    let admin = Upstream::new(upstream::Config { authority, connect_timeout: PATIENCE });
    let asking = async {
        let sent = admin.send(request, tokio::time::sleep(PATIENCE), || true).await;
        let (response, _connection) = sent.map_err(|error| error.to_string())?.into_parts();
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok::<_, String>((status, body.to_bytes()))
    };
    let (status, body) =
        tokio::time::timeout(PATIENCE, asking).await.map_err(|_| "no answer in time")??;
    let document = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|document| serde_json::to_string_pretty(&document).ok());
    Ok((status, document.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned())))
}
