//! Who may ask where no token is set: people and programs on this machine, and no web page from
//! elsewhere that happens to be open in a browser here.
//!
//! A browser sends requests to 127.0.0.1 on behalf of any page. Three things tell them apart: the
//! name it asked for (a page whose own name was made to point here, "DNS rebinding", asks by that
//! name), the page it asks for (`Origin`), and its word that both are one (`Sec-Fetch-Site`).

use crate::answer::problem::{Name, Problem};
use hyper::Request;
use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::http::uri::Authority;
use std::net::IpAddr;

/// Whether this request comes from this machine, and from nobody else's page.
pub(super) fn check<B>(request: &Request<B>, from: IpAddr) -> Result<(), Problem> {
    let no = |detail| Err(Problem::new(Name::Forbidden, detail));
    if !from.is_loopback() {
        return no("Set ONCEWARD_ADMIN_TOKEN to ask from afar.");
    }
    let headers = request.headers();
    let asked = text(headers, HOST.as_str());
    if !asked.is_some_and(is_own_name) {
        return no("Ask by address or as localhost, or set ONCEWARD_ADMIN_TOKEN.");
    }
    if let Some(origin) = text(headers, ORIGIN.as_str())
        && origin.strip_prefix("http://") != asked
    {
        return no("Another page's request is not answered without ONCEWARD_ADMIN_TOKEN.");
    }
    match text(headers, "sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => no("Another page's request is not answered without ONCEWARD_ADMIN_TOKEN."),
    }
}

/// A header that stands there once; anything else equals nothing.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().unwrap_or("?");
    Some(if values.next().is_some() { "?" } else { value })
}

/// Whether no resolver was asked for this name: an address, or the name every machine has for
/// itself.
fn is_own_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn answered(headers: &[(&str, &str)]) -> bool {
        let request = headers
            .iter()
            .fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).unwrap_or_default();
        check(&request, Ipv4Addr::LOCALHOST.into()).is_ok()
    }

    #[test]
    fn this_machines_own_names_are_answered_and_no_others() {
        for host in ["localhost", "localhost:9090", "127.0.0.1:9090", "[::1]:9090", "10.0.0.1"] {
            assert!(answered(&[("host", host)]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9090", ""] {
            assert!(!answered(&[("host", host)]), "{host}");
        }
        assert!(!answered(&[]));
        assert!(!answered(&[("host", "localhost"), ("host", "localhost")]));
    }

    #[test]
    fn a_page_from_elsewhere_is_not_answered() {
        let host = ("host", "127.0.0.1:9090");
        assert!(answered(&[host, ("origin", "http://127.0.0.1:9090")]));
        assert!(answered(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(answered(&[host, ("sec-fetch-site", "none")]));
        for origin in ["http://evil.example", "null", "", "http://127.0.0.1:8080", "file://"] {
            assert!(!answered(&[host, ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(!answered(&[host, ("sec-fetch-site", site)]), "{site}");
        }
    }

    #[test]
    fn another_machine_is_not_answered() {
        let request = Request::builder().header(HOST, "localhost").body(()).unwrap_or_default();
        assert!(check(&request, Ipv4Addr::new(10, 0, 0, 1).into()).is_err());
    }
}
