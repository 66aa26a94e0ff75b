//! Where traces go, from OpenTelemetry's own variables.
//!
//! They are often set for a whole platform, by people who never heard of us, and no payment depends
//! on them. So, as OpenTelemetry wants it, what cannot be followed is told of and left aside:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>

use super::read::{self, Environment, Problem, Values};
use super::units::LONGEST;
use super::vars;
use crate::trace::{Collector, Config, Sampler, Share};
use hyper::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use std::time::Duration;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Reads them; and what is to be said of those that cannot be followed. `built` tells whether this
/// binary can export traces at all.
pub(super) fn read(
    values: &Values<'_>,
    environment: &dyn Environment,
    built: bool,
) -> (Option<Config>, Vec<Problem>) {
    let mut remarks = unread(environment);
    if values.text(vars::var(ENDPOINT)).is_empty() {
        return (None, remarks);
    }
    if !built {
        let what = "this binary was built without the feature otlp: no traces are exported";
        remarks.push(Problem { at: ENDPOINT.into(), what: what.into() });
        return (None, remarks);
    }
    unfollowed(environment, &mut remarks);
    let spoken = values.read("OTEL_EXPORTER_OTLP_PROTOCOL", &mut remarks, protocol).is_some();
    let ca_file = values.text(vars::var("OTEL_EXPORTER_OTLP_CERTIFICATE"));
    let ca_file = (!ca_file.is_empty()).then(|| ca_file.into());
    let collector = values.read(ENDPOINT, &mut remarks, |text| collector(text, ca_file));
    let headers = values.read("OTEL_EXPORTER_OTLP_HEADERS", &mut remarks, headers);
    let timeout = values.read("OTEL_EXPORTER_OTLP_TIMEOUT", &mut remarks, |text| {
        let time = text.parse().ok().map(Duration::from_millis);
        let time = time.filter(|time| !time.is_zero() && *time <= LONGEST);
        time.ok_or("expected milliseconds; 10000 are taken".into())
    });
    let config = collector.filter(|_| spoken).map(|collector| Config {
        collector,
        headers: headers.unwrap_or_default(),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        sampler: sampler(values, &mut remarks),
        resource: resource(values, &mut remarks),
    });
    (config, remarks)
}

/// Variables that are no text.
fn unread(environment: &dyn Environment) -> Vec<Problem> {
    let names = vars::VARS.iter().map(vars::Var::whole_name);
    let ours = names.filter(|name| name.starts_with(vars::OTEL));
    let is_unread = |name: &String| read::text(environment, name).is_some_and(|text| text.is_err());
    let what = "is not UTF-8 text: left aside";
    ours.filter(is_unread).map(|at| Problem { at, what: what.into() }).collect()
}

/// Variables that other SDKs know and that would have things done otherwise.
fn unfollowed(environment: &dyn Environment, remarks: &mut Vec<Problem>) {
    const KNOWN: [&str; 6] = [
        "OTEL_EXPORTER_OTLP_TRACES_",
        "OTEL_EXPORTER_OTLP_CLIENT_",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_BSP_",
        "OTEL_TRACES_EXPORTER",
        "OTEL_SDK_DISABLED",
    ];
    let mut names = environment.names();
    names.retain(|name| KNOWN.iter().any(|known| name.starts_with(known)));
    names.sort();
    remarks.extend(names.into_iter().map(|at| {
        let what = format!("is not followed; without {ENDPOINT} no traces are exported");
        Problem { at, what }
    }));
}

fn protocol(text: &str) -> Result<(), String> {
    match text {
        "http/protobuf" | "" => Ok(()),
        _ => Err("only http/protobuf is spoken, as a rule on port 4318: no traces are exported"
            .to_owned()),
    }
}

fn collector(text: &str, ca_file: Option<std::path::PathBuf>) -> Result<Collector, String> {
    let expected = "expected http://host:port or https://host:port: no traces are exported";
    let uri: hyper::Uri = text.parse().map_err(|_| expected.to_owned())?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(expected.into()),
    };
    let authority = uri.authority().ok_or(expected)?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(expected.into());
    }
    Ok(Collector {
        tls,
        host: authority.host().to_owned(),
        port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
        path: format!("{}/v1/traces", uri.path().trim_end_matches('/')),
        ca_file,
    })
}

/// What is wrong is not repeated: it may be a secret.
fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let expected = || "expected name=value,name=value, percent-encoded: none is sent".to_owned();
    let header = |(name, value): (String, String)| {
        let mut value = HeaderValue::from_str(&value).map_err(|_| expected())?;
        value.set_sensitive(true);
        Ok((HeaderName::try_from(name).map_err(|_| expected())?, value))
    };
    pairs(text).ok_or_else(expected)?.into_iter().map(header).collect()
}

/// `name=value,name=value`, values percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    members
        .map(|member| {
            let (name, value) = member.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value.into_owned()))
        })
        .collect()
}

fn sampler(values: &Values<'_>, remarks: &mut Vec<Problem>) -> Sampler {
    let mut share = || {
        let share = values.read("OTEL_TRACES_SAMPLER_ARG", remarks, |text| {
            let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
            share.ok_or("expected a share from 0 to 1: all are kept".to_owned())
        });
        Share::Ratio(share.unwrap_or(1.0))
    };
    let text = values.text(vars::var("OTEL_TRACES_SAMPLER"));
    let (parent_based, own) = match text.strip_prefix("parentbased_") {
        Some(own) => (true, own),
        None => (false, text),
    };
    let share = match own {
        "always_on" => Share::All,
        "always_off" => Share::None,
        "traceidratio" => share(),
        _ => {
            let at = "OTEL_TRACES_SAMPLER".into();
            let what = "no such sampler; parentbased_always_on is taken".into();
            remarks.push(Problem { at, what });
            return Sampler::default();
        }
    };
    Sampler { share, parent_based }
}

/// What is said of this process, the configured before our own.
fn resource(values: &Values<'_>, remarks: &mut Vec<Problem>) -> Vec<(String, String)> {
    let given = values.read("OTEL_RESOURCE_ATTRIBUTES", remarks, |text| {
        // As OpenTelemetry wants it: all of it or nothing.
        pairs(text).ok_or("expected name=value,name=value, percent-encoded: left aside".into())
    });
    let mut all = given.unwrap_or_default();
    let name = vars::var("OTEL_SERVICE_NAME");
    let named = values.text(name);
    // A name that was set wins over the attribute, our own does not.
    if named != name.default {
        all.retain(|(other, _)| other != "service.name");
    }
    let own = [
        ("service.name", named),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("telemetry.sdk.name", env!("CARGO_PKG_NAME")),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    for (name, text) in own {
        if all.iter().all(|(other, _)| other != name) {
            all.push((name.to_owned(), text.to_owned()));
        }
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::config::vars::OTEL;
    use std::collections::HashMap;

    fn check(set: &[(&str, &str)], built: bool) -> (Option<Config>, Vec<String>) {
        let set = set.iter().map(|(name, value)| (format!("{OTEL}{name}"), (*value).to_owned()));
        let environment: HashMap<String, String> = set.collect();
        let mut problems = Vec::new();
        let values = Values::of_process(&environment, &mut problems);
        assert_eq!(problems, []);
        let (config, remarks) = read(&values, &environment, built);
        (config, remarks.iter().map(ToString::to_string).collect())
    }

    fn said(set: &[(&str, &str)], about: &str, what: &str) -> Option<Config> {
        let endpoint = ("EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let (config, remarks) = check(&[&[endpoint], set].concat(), true);
        assert_eq!(remarks.len(), 1, "{set:?}: {remarks:?}");
        assert!(remarks[0].starts_with(about) && remarks[0].contains(what), "{remarks:?}");
        config
    }

    #[test]
    fn without_an_endpoint_nothing_is_exported_and_nothing_said() {
        let (config, remarks) = check(&[("TRACES_SAMPLER", "nonsense")], true);
        assert!(config.is_none() && remarks.is_empty());
    }

    #[test]
    fn a_binary_without_the_feature_says_so() {
        let (config, remarks) = check(&[("EXPORTER_OTLP_ENDPOINT", "http://collector")], false);
        assert!(config.is_none());
        assert_eq!(remarks.len(), 1);
        assert!(remarks[0].contains("without the feature otlp: no traces"), "{remarks:?}");
    }

    #[test]
    fn all_of_it_is_read() {
        let (config, remarks) = check(
            &[
                ("EXPORTER_OTLP_ENDPOINT", "https://collector.example/base/"),
                ("EXPORTER_OTLP_HEADERS", "x-key=a%20b, x-other = c"),
                ("EXPORTER_OTLP_TIMEOUT", "1500"),
                ("TRACES_SAMPLER", "traceidratio"),
                ("TRACES_SAMPLER_ARG", "0.25"),
                ("SERVICE_NAME", "pay"),
                ("RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=test"),
            ],
            true,
        );
        assert_eq!(remarks, Vec::<String>::new());
        let config = config.unwrap();
        let Collector { tls, host, port, path, ca_file } = config.collector;
        assert_eq!((tls, host.as_str(), port, ca_file), (true, "collector.example", 443, None));
        assert_eq!(path, "/base/v1/traces");
        assert_eq!(config.headers[0].1, "a b");
        assert_eq!(config.headers[1].0, "x-other");
        assert_eq!(config.timeout, Duration::from_millis(1500));
        assert_eq!(config.sampler, Sampler { share: Share::Ratio(0.25), parent_based: false });
        let named = |name: &str| {
            let named: Vec<_> = config.resource.iter().filter(|(other, _)| other == name).collect();
            assert_eq!(named.len(), 1, "{name}");
            named[0].1.clone()
        };
        assert_eq!(named("service.name"), "pay");
        assert_eq!(named("deployment.environment.name"), "test");
        assert_eq!(named("service.version"), env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn what_cannot_be_followed_is_said_and_never_refused() {
        assert!(said(&[("EXPORTER_OTLP_PROTOCOL", "grpc")], "OTEL_EXP", "http/protobuf").is_none());
        for endpoint in ["collector:4318", "http://", "ftp://a", "http://a@b", "http://a?b"] {
            let set = [("EXPORTER_OTLP_ENDPOINT", endpoint)];
            assert!(said(&set, "OTEL_EXPORTER_OTLP_ENDPOINT", "expected http").is_none());
        }
        let config =
            said(&[("TRACES_SAMPLER", "xray")], "OTEL_TRACES_SAMPLER:", "no such").unwrap();
        assert_eq!(config.sampler, Sampler::default());
        let ratio = [("TRACES_SAMPLER", "parentbased_traceidratio"), ("TRACES_SAMPLER_ARG", "2")];
        let config = said(&ratio, "OTEL_TRACES_SAMPLER_ARG", "from 0 to 1").unwrap();
        assert_eq!(config.sampler, Sampler { share: Share::Ratio(1.0), parent_based: true });
        for timeout in ["0", "10s", "-1", "18446744073709551615"] {
            let set = [("EXPORTER_OTLP_TIMEOUT", timeout)];
            let config = said(&set, "OTEL_EXPORTER_OTLP_TIMEOUT", "milliseconds").unwrap();
            assert_eq!(config.timeout, Duration::from_secs(10));
        }
        said(&[("RESOURCE_ATTRIBUTES", "a")], "OTEL_RESOURCE_ATTRIBUTES", "left aside").unwrap();
        said(&[("BSP_SCHEDULE_DELAY", "1")], "OTEL_BSP_SCHEDULE_DELAY", "not followed").unwrap();
        let headers = [("EXPORTER_OTLP_HEADERS", "authorization=Bearer s3cret\u{1}")];
        let (_, remarks) =
            check(&[&headers[..], &[("EXPORTER_OTLP_ENDPOINT", "http://a")]].concat(), true);
        assert!(remarks.len() == 1 && !remarks[0].contains("s3cret"), "{remarks:?}");
    }
}
