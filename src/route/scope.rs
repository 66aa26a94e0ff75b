//! A scope as one text: the values of the headers that partition keys, and those headers again.

use super::Route;
use crate::model::response::strip;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};

/// Stands between two values; no header's value holds it.
const BETWEEN: char = '\n';

impl Route {
    /// The scope of a request: the values in the route's order, an empty one for each header that is
    /// missing. `None` where one occurs twice or is not plain ASCII.
    pub fn scope_of(&self, headers: &HeaderMap) -> Option<String> {
        let mut scope = String::new();
        for (place, name) in self.tuning.scope.iter().enumerate() {
            let mut lines = headers.get_all(name).iter();
            let value = lines.next().map_or(Ok(""), HeaderValue::to_str).ok()?;
            if lines.next().is_some() {
                return None;
            }
            if place > 0 {
                scope.push(BETWEEN);
            }
            scope.push_str(value);
        }
        Some(scope)
    }

    /// The headers by which upstream tells the orders of this scope from others of the same key, as
    /// their caller sent them. `None` where that cannot be told: the order was made while the route
    /// had another number of them, or a value cannot stand in a header.
    pub fn scope_headers(&self, scope: &str) -> Option<HeaderMap> {
        let names = &self.tuning.scope;
        let values: Vec<&str> = match (names.is_empty(), scope) {
            (true, "") => Vec::new(),
            _ => scope.split(BETWEEN).collect(),
        };
        if values.len() != names.len() {
            return None;
        }
        let mut headers = HeaderMap::with_capacity(names.len());
        for (name, value) in names.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
        // What was for us alone, upstream did not see with the payment either.
        strip(&mut headers, |name| {
            *name == CONTENT_LENGTH || name.as_str().starts_with("onceward-")
        });
        Some(headers)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::collections::HashMap;

    type Lines<'a> = [(&'static str, &'a str)];

    fn route(scope: &str) -> Route {
        let environment = HashMap::from([("ONCEWARD_SCOPE".to_owned(), scope.to_owned())]);
        let config = Config::load(&environment).unwrap();
        (*config.routes.0[0]).clone()
    }

    fn headers(lines: &Lines<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_scope_is_told_as_its_caller_told_it() {
        let cases: [(&str, &Lines<'_>, &str); 6] = [
            ("", &[("x-a", "1")], ""),
            ("x-a", &[("x-a", "1"), ("x-b", "2")], "1"),
            ("x-a", &[], ""),
            ("x-a,x-b", &[("x-a", "1"), ("x-b", "2 3")], "1\n2 3"),
            ("x-a,x-b,x-c", &[("x-b", "2")], "\n2\n"),
            ("host", &[("host", "shop.example")], "shop.example"),
        ];
        for (names, sent, scope) in cases {
            let route = route(names);
            let sent = headers(sent);
            assert_eq!(route.scope_of(&sent).as_deref(), Some(scope), "{names}");
            let told = route.scope_headers(scope).unwrap();
            let of_scope = |name: &&hyper::header::HeaderName| sent.contains_key(*name);
            assert_eq!(told.len(), route.tuning.scope.iter().filter(of_scope).count());
            assert!(told.iter().all(|(name, value)| sent[name] == value), "{told:?}");
        }
        assert_eq!(route("x-a").scope_of(&headers(&[("x-a", "1"), ("x-a", "1")])), None);
    }

    #[test]
    fn a_scope_that_cannot_be_told_is_not_told_in_part() {
        for (names, scope) in [("", "1"), ("x-a", "1\n2"), ("x-a,x-b", "1"), ("x-a", "\u{7f}")] {
            assert_eq!(route(names).scope_headers(scope), None, "{names} {scope:?}");
        }
        // Nor are lengths and the like, which are about another request.
        let own = route("content-length,connection,onceward-fence");
        assert!(own.scope_headers("5\nx\n7").unwrap().is_empty());
    }
}
