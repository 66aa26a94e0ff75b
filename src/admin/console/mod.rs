//! The console: a page for people. Its files are part of the binary and come from nowhere else; it
//! holds no data and no right of its own, and asks for what it shows with the token somebody typed.

use crate::answer::problem::Problem;
use crate::payload::Payload;
use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response};

/// What the page may do: run our own files, look as our own styles say, ask this very server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Every header the page and its files carry.
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// One file: its path, its type, its bytes.
pub(super) type File = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Every file there is.
const FILES: [File; 17] = [
    ("/console", HTML, include_str!("index.html")),
    ("/console/icon.svg", ICON, include_str!("icon.svg")),
    ("/console/console.css", CSS, include_str!("console.css")),
    ("/console/console.js", SCRIPT, include_str!("console.js")),
    ("/console/ask.js", SCRIPT, include_str!("ask.js")),
    ("/console/live.js", SCRIPT, include_str!("live.js")),
    ("/console/show.js", SCRIPT, include_str!("show.js")),
    ("/console/plot.js", SCRIPT, include_str!("plot.js")),
    ("/console/lease.js", SCRIPT, include_str!("lease.js")),
    ("/console/overview.js", SCRIPT, include_str!("overview.js")),
    ("/console/order.js", SCRIPT, include_str!("order.js")),
    ("/console/timeline.js", SCRIPT, include_str!("timeline.js")),
    ("/console/act.js", SCRIPT, include_str!("act.js")),
    ("/console/person.js", SCRIPT, include_str!("person.js")),
    ("/console/faults.js", SCRIPT, include_str!("faults.js")),
    ("/console/accidents.js", SCRIPT, include_str!("accidents.js")),
    ("/console/banner.js", SCRIPT, include_str!("banner.js")),
];

/// The file at that path.
pub(super) fn file(path: &str) -> Option<&'static File> {
    // A slash at the end is easily typed.
    let path = if path == "/console/" { "/console" } else { path };
    FILES.iter().find(|(known, ..)| *known == path)
}

/// The file as an answer.
pub(super) fn serve(file: &'static File, method: &Method) -> Result<Response<Payload>, Problem> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Problem::not_by_this_method("GET, HEAD", "The console is looked at with GET."));
    }
    let (_, kind, text) = *file;
    let mut response = Response::new(Payload::Full(Bytes::from_static(text.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
