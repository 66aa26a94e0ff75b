//! What `onceward dev` sets where the developer sets nothing.

use crate::config::vars::{PREFIX, var};
use crate::config::{Config, Environment, Problems};
use std::collections::HashMap;
use std::ffi::OsString;

/// Orders of the sandbox, each named by its order number or by the key its caller chose, and its
/// callbacks.
const SANDBOX_ROUTES: &str = include_str!("routes.json");

/// Variables and their values here.
const DEFAULTS: [(&str, &str); 7] = [
    ("LISTEN", "127.0.0.1:1234"),
    ("ADMIN_LISTEN", "127.0.0.1:9090"),
    ("FAULTS", "on"),
    ("LOG_FORMAT", "text"),
    // Nobody wants to wait half a minute to see what becomes of a killed sidecar's order.
    ("LOCK_TTL", "3s"),
    ("DUPLICATE_WAIT", "1s"),
    // Its Redis is new every time, and has nothing to forget.
    ("HISTORY_WINDOW", "0s"),
];

/// More of them in front of the sandbox. Another payment service's orders are not to be cancelled
/// while somebody steps through it with a debugger.
const SANDBOX_DEFAULTS: [(&str, &str); 5] = [
    ("ROUTES", SANDBOX_ROUTES),
    ("QUERY_INTERVAL", "1s"),
    ("RESOLVE_DEADLINE", "8s"),
    // Longer than the lease: what a killed sidecar sent has arrived by then.
    ("SETTLE_DELAY", "4s"),
    ("CANCEL_INTERVAL", "1s"),
];

/// The configuration, and which part of the surroundings we have to provide for it.
pub(super) struct Settings {
    /// As the sidecar will find it.
    pub(super) config: Config,
    /// Variables the sidecar gets beside ours, by their whole names.
    pub(super) given: Vec<(String, String)>,
    /// Whether the developer named no Redis.
    pub(super) needs_redis: bool,
    /// Whether the developer named no payment service.
    pub(super) needs_sandbox: bool,
}

impl Settings {
    /// Reads and judges the environment.
    pub(super) fn read(environment: &dyn Environment) -> Result<Settings, Problems> {
        let needs_redis = !is_set(environment, "REDIS_URL");
        let needs_sandbox = !is_set(environment, "UPSTREAM");
        // Another payment service has other paths: the sidecar's own default suits any.
        let sandbox = needs_sandbox.then_some(SANDBOX_DEFAULTS);
        let given: Vec<_> = DEFAULTS
            .into_iter()
            .chain(sandbox.into_iter().flatten())
            .filter(|(name, _)| !is_set(environment, name))
            .map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned()))
            .collect();
        let mut all: HashMap<String, OsString> = environment
            .names()
            .into_iter()
            .filter_map(|name| environment.get(&name).map(|value| (name, value)))
            .collect();
        all.extend(given.iter().map(|(name, value)| (name.clone(), value.into())));
        if needs_sandbox {
            // Where it will be is known once it runs; not where the default says, at least.
            all.insert(format!("{PREFIX}UPSTREAM"), "http://sandbox".into());
        }
        Ok(Settings { config: Config::load(&all)?, given, needs_redis, needs_sandbox })
    }

    /// Sets a variable for the sidecar, named without its prefix.
    pub(super) fn give(&mut self, name: &str, value: String) {
        let name = format!("{PREFIX}{name}");
        self.given.retain(|(other, _)| *other != name);
        self.given.push((name, value));
    }

    /// Whether a value here is ours and not the developer's; named without its prefix.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| given.strip_prefix(PREFIX) == Some(name))
    }
}

/// Set by its name, or by the file that holds it.
fn is_set(environment: &dyn Environment, name: &str) -> bool {
    let set = |suffix: &str| environment.get(&format!("{PREFIX}{name}{suffix}")).is_some();
    set("") || (var(name).secret && set("_FILE"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use hyper::Method;
    use std::time::Duration;

    fn read(variables: &[(&str, &str)]) -> Settings {
        let environment: HashMap<String, String> = variables
            .iter()
            .map(|(name, value)| (format!("{PREFIX}{name}"), (*value).into()))
            .collect();
        Settings::read(&environment).unwrap()
    }

    #[test]
    fn without_variables_it_is_made_for_the_sandbox() {
        let settings = read(&[]);
        let config = &settings.config;
        assert!(settings.needs_redis && settings.needs_sandbox && config.faults);
        assert_eq!(config.listen, "127.0.0.1:1234".parse().unwrap());
        assert_eq!(config.admin_listen, "127.0.0.1:9090".parse().unwrap());
        let route = |path| config.routes.find(&Method::POST, path);
        let (pay, _) = route("/order/pay").unwrap();
        assert_eq!(pay.tuning.lock_ttl, Duration::from_secs(3));
        assert!(pay.can_ask() && pay.cancel.is_some());
        assert_eq!(&*route("/order/refund").unwrap().0.name, "refund");
        assert!(route("/notify").unwrap().0.callback.is_some());
        assert!(route("/order/create").is_none());
        assert!(pay.tuning.resolve_deadline < Duration::from_secs(10));
    }

    #[test]
    fn what_the_developer_sets_wins() {
        let settings =
            read(&[("LISTEN", "127.0.0.1:4321"), ("LOCK_TTL", "20s"), ("FAULTS", "off")]);
        let config = &settings.config;
        assert_eq!(config.listen, "127.0.0.1:4321".parse().unwrap());
        assert_eq!(
            config.routes.0[0].tuning.lock_ttl,
            Duration::from_secs(20),
            "of the routes too"
        );
        assert!(!config.faults && !settings.is_given("LOCK_TTL"));
    }

    #[test]
    fn a_plane_may_have_the_port_that_upstream_has_by_default() {
        let settings = read(&[("LISTEN", "127.0.0.1:8081")]);
        assert_eq!(settings.config.listen, "127.0.0.1:8081".parse().unwrap());
        assert!(settings.needs_sandbox && !settings.is_given("UPSTREAM"));
    }

    #[test]
    fn a_payment_service_of_the_developers_own_gets_the_default_route() {
        let settings = read(&[("UPSTREAM", "http://127.0.0.1:3000")]);
        assert!(!settings.needs_sandbox);
        let default = &settings.config.routes.0[0];
        assert_eq!(&*default.name, "default");
        assert_eq!(default.tuning.resolve_deadline, Duration::from_secs(60), "nothing in haste");
    }

    #[test]
    fn a_redis_of_the_developers_own_may_be_named_by_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "redis://127.0.0.1:7777").unwrap();
        let settings = read(&[("REDIS_URL_FILE", file.to_str().unwrap())]);
        assert!(!settings.needs_redis);
        assert_eq!(settings.config.redis.to_string(), "127.0.0.1:7777");
    }
}
