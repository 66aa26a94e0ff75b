//! Configuration: the only room that reads the environment.
//!
//! Everything is read before anything is judged, so one start tells every problem. Each room is
//! handed its part by value.

mod callbacks;
mod calls;
mod fields;
mod forgetting;
mod lifecycles;
mod log;
mod memory;
mod paths;
mod planes;
mod presets;
pub mod read;
mod redis;
mod remarks;
mod replay;
pub mod routes;
mod rules;
pub mod shown;
mod strict;
mod tokens;
mod traces;
mod tuning;
mod units;
pub mod vars;

pub use read::{Environment, Problem, Problems, Process};
pub use tokens::AdminTokens;

use crate::model::seal::Secrets;
use crate::route::Routes;
use crate::store::link::Place;
use crate::trace;
use hyper::header::HeaderName;
use planes::address;
use read::Values;
use remarks::Remarks;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use units::{duration, one_of, positive, size};

/// All that was configured.
#[derive(Clone)]
#[allow(missing_docs, reason = "the fields are the variables of config::vars, described there")]
pub struct Config {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    /// ADMIN_TOKEN and ADMIN_READ_TOKEN, as they were at the start.
    pub admin_tokens: AdminTokens,
    /// The files they came from, which are read again when they change.
    pub admin_token_files: Vec<PathBuf>,
    pub upstream: String,
    pub upstream_connect_timeout: Duration,
    /// For what is not protected; a route has its own.
    pub upstream_timeout: Duration,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub body_timeout: Duration,
    /// Where Redis is: REDIS_URL, REDIS_MODE and the certificates.
    pub redis: Arc<Place>,
    pub redis_timeout: Duration,
    pub redis_pool_size: usize,
    pub redis_wait_replicas: u32,
    pub redis_wait_timeout: Duration,
    pub history_window: Duration,
    pub namespace: String,
    pub replay_header: HeaderName,
    pub max_in_flight: usize,
    /// Bytes of large request bodies held at once.
    pub body_memory: usize,
    pub max_queued: u64,
    pub queue_retry: Duration,
    /// Bytes of finished responses kept in memory.
    pub local_cache: usize,
    pub prefix: String,
    pub secrets: Arc<Secrets>,
    pub routes: Routes,
    /// The file ROUTES came from, which is read again when it changes.
    pub routes_file: Option<RoutesFile>,
    pub faults: bool,
    pub drain_timeout: Duration,
    pub log: String,
    pub log_format: LogFormat,
    /// Every variable with its effective value, secrets masked, in the contract's order.
    pub shown: Vec<(String, String)>,
    /// What is in force on each route of ROUTES, and not on one that leaves all to the variables.
    pub shown_routes: Vec<(String, String)>,
    /// Where traces go; nowhere without one.
    pub traces: Option<trace::Config>,
    /// Variables with our prefix that mean nothing.
    pub strangers: Vec<String>,
    /// What of trace export cannot be done as it was asked for, and what of the routes is at a risk.
    /// Payments run all the same.
    pub remarks: Vec<Problem>,
}

/// Where the admin plane of a sidecar is, and what it wants to be shown.
pub struct AdminPlane {
    /// ADMIN_LISTEN, by the loopback address where it is every address.
    pub address: SocketAddr,
    /// ADMIN_TOKEN.
    pub token: Option<String>,
}

/// A file of routes.
#[derive(Clone)]
pub struct RoutesFile {
    /// Where it is.
    pub path: PathBuf,
    /// What stood in it when the routes were read.
    pub read: Arc<[u8]>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// An object a line.
    Json,
    /// For people.
    Text,
}

impl Config {
    /// Reads and judges the environment.
    ///
    /// # Errors
    /// Every problem there is, each with the name of its variable.
    pub fn load(environment: &dyn Environment) -> Result<Config, Problems> {
        let mut problems = Vec::new();
        let values = Values::of_process(environment, &mut problems);
        let loaded = load_routes(&values, &mut problems);
        let config = assemble(&values, environment, loaded, &mut problems);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(Problems(problems)),
        }
    }

    /// Reads no more than it takes to ask a running sidecar: one that keeps its last good routes
    /// must be reachable while their file is bad.
    ///
    /// # Errors
    /// The problems of these variables.
    pub fn admin_plane(environment: &dyn Environment) -> Result<AdminPlane, Problems> {
        let mut problems = Vec::new();
        let values = Values::of_process(environment, &mut problems);
        problems.retain(|problem| problem.at.starts_with("ONCEWARD_ADMIN_"));
        let address = values.read("ADMIN_LISTEN", &mut problems, address);
        let token = some(values.text(vars::var("ADMIN_TOKEN")));
        match address {
            Some(address) if problems.is_empty() => {
                Ok(AdminPlane { address: planes::nearby(address), token })
            }
            _ => Err(Problems(problems)),
        }
    }

    /// Reads the routes again from their file, over the same variables; and what of them is at a
    /// risk, though they are taken all the same.
    ///
    /// # Errors
    /// Every problem there is; whoever asked keeps the routes it has.
    pub fn reload_routes(
        environment: &dyn Environment,
    ) -> Result<(Routes, Vec<Problem>), Problems> {
        let mut problems = Vec::new();
        let values = Values::of_process(environment, &mut problems);
        let loaded = load_routes(&values, &mut problems);
        match problems.is_empty() {
            true => Ok((loaded.routes, loaded.remarks)),
            false => Err(Problems(problems)),
        }
    }
}

/// What ROUTES and its defaults come to.
#[derive(Default)]
struct Loaded {
    routes: Routes,
    file: Option<RoutesFile>,
    remarks: Vec<Problem>,
    shown: Vec<(String, String)>,
}

fn assemble(
    values: &Values<'_>,
    environment: &dyn Environment,
    loaded: Loaded,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    let listen = values.read("LISTEN", problems, address);
    let admin_listen = values.read("ADMIN_LISTEN", problems, address);
    if let (Some(data), Some(admin)) = (listen, admin_listen) {
        planes::check_ports(data, admin, problems);
    }
    let admin_tokens = tokens::read(values, problems);
    let upstream = values.read("UPSTREAM", problems, upstream);
    if let Some(upstream) = &upstream {
        let planes = [("ONCEWARD_LISTEN", listen), ("ONCEWARD_ADMIN_LISTEN", admin_listen)];
        planes::check_upstream(upstream, planes, problems);
    }
    let upstream_connect_timeout = values.read("UPSTREAM_CONNECT_TIMEOUT", problems, positive);
    // Its problems were told with the routes' defaults.
    let upstream_timeout = positive(values.text(vars::var("UPSTREAM_TIMEOUT"))).ok();
    let header_timeout = values.read("HEADER_TIMEOUT", problems, positive);
    let idle_timeout = values.read("IDLE_TIMEOUT", problems, positive);
    let body_timeout = values.read("BODY_TIMEOUT", problems, positive);
    let redis = redis::place(values, problems);
    let redis_timeout = values.read("REDIS_TIMEOUT", problems, positive);
    let redis_pool_size = values.read("REDIS_POOL_SIZE", problems, number);
    let redis_wait_replicas = values.read("REDIS_WAIT_REPLICAS", problems, number);
    let redis_wait_timeout = values.read("REDIS_WAIT_TIMEOUT", problems, positive);
    let history_window = values.read("HISTORY_WINDOW", problems, duration);
    let namespace = values.read("NAMESPACE", problems, namespace);
    let replay_header = values.read("REPLAY_HEADER", problems, replay::header);
    let max_in_flight = values.read("MAX_IN_FLIGHT", problems, |text| match number(text)? {
        0 => Err("must be more than zero".into()),
        limit => Ok(limit),
    });
    let body_memory = values.read("BODY_MEMORY", problems, memory::read);
    let max_queued = values.read("MAX_QUEUED", problems, |text| match number(text)? {
        0 => Err("must be more than zero".into()),
        limit => Ok(limit),
    });
    let queue_retry = values.read("QUEUE_RETRY", problems, positive);
    let local_cache = values.read("LOCAL_CACHE", problems, size);
    let prefix = values.read("PREFIX", problems, prefix);
    let secrets = values.read("SECRET", problems, |text| match text {
        "" => Ok(Secrets::none()),
        text => Secrets::parse(text).map_err(|error| error.to_string()),
    });
    let faults =
        values.read("FAULTS", problems, |text| one_of(text, &[("off", false), ("on", true)]));
    let drain_timeout = values.read("DRAIN_TIMEOUT", problems, duration);
    let log = values.read("LOG", problems, log::filter);
    let log_format = values.read("LOG_FORMAT", problems, |text| {
        one_of(text, &[("json", LogFormat::Json), ("text", LogFormat::Text)])
    });
    let (traces, mut remarks) = traces::read(values, environment, trace::BUILT);
    remarks.extend(loaded.remarks);
    Some(Config {
        listen: listen?,
        admin_listen: admin_listen?,
        admin_tokens: admin_tokens?,
        admin_token_files: tokens::files(values),
        upstream: upstream?,
        upstream_connect_timeout: upstream_connect_timeout?,
        upstream_timeout: upstream_timeout?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        body_timeout: body_timeout?,
        redis: redis?,
        redis_timeout: redis_timeout?,
        redis_pool_size: redis_pool_size?,
        redis_wait_replicas: redis_wait_replicas?,
        redis_wait_timeout: redis_wait_timeout?,
        history_window: history_window?,
        namespace: namespace?,
        replay_header: replay_header?,
        max_in_flight: max_in_flight?,
        body_memory: body_memory?,
        max_queued: max_queued?,
        queue_retry: queue_retry?,
        local_cache: local_cache?,
        prefix: prefix?,
        secrets: Arc::new(secrets?),
        routes: loaded.routes,
        routes_file: loaded.file,
        faults: faults?,
        drain_timeout: drain_timeout?,
        log: log?,
        log_format: log_format?,
        shown: shown::variables(values),
        shown_routes: loaded.shown,
        traces,
        strangers: read::strangers(environment),
        remarks,
    })
}

fn load_routes(values: &Values<'_>, problems: &mut Vec<Problem>) -> Loaded {
    // Read for its problems even where every route overrides it: a bad default is a bad default.
    let default = routes::default(values, problems);
    let (text, mut remarks) = (values.text(vars::var("ROUTES")), Remarks::default());
    if text.is_empty() {
        paths::check_default(&default, values, problems);
        default.0.iter().for_each(|route| remarks.look_at(route, values));
        return Loaded { routes: default, remarks: remarks.list(values), ..Loaded::default() };
    }
    let (json, file) = match text.starts_with(['[', '{']) {
        true => (Ok(text.to_owned()), None),
        false => (std::fs::read_to_string(text), Some(PathBuf::from(text))),
    };
    match json {
        Ok(json) => {
            let routes = routes::read(&json, values, &mut remarks, problems);
            let shown = default.0.first().map(|plain| shown::own(&routes, plain));
            let shown = shown.unwrap_or_default();
            let file = file.map(|path| RoutesFile { path, read: json.into_bytes().into() });
            Loaded { routes, file, remarks: remarks.list(values), shown }
        }
        Err(error) => {
            let what = format!("{text:?} cannot be read: {error}");
            problems.push(Problem { at: "ONCEWARD_ROUTES".into(), what });
            Loaded::default()
        }
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "expected a whole number".into())
}

/// What is said of a port nobody can listen on.
const BAD_PORT: &str = "expected http://host:port with a port from 1 to 65535";

fn upstream(text: &str) -> Result<String, String> {
    let expected = "expected http://host:port";
    let uri: hyper::Uri = text.parse().map_err(|_| expected.to_owned())?;
    let authority = uri.authority().ok_or(expected)?;
    let plain = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
    if uri.scheme_str() != Some("http") || !plain {
        return Err(format!("{expected}, without a path"));
    }
    // A port that is there and is none is not the same as none.
    match (authority.port_u16(), authority.as_str().rsplit_once(':')) {
        (None, Some((_, port))) if !port.ends_with(']') => Err(BAD_PORT.into()),
        (Some(0), _) => Err(BAD_PORT.into()),
        (Some(_), _) => Ok(authority.to_string()),
        (None, _) => Ok(format!("{authority}:80")),
    }
}

fn namespace(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if (1..=64).contains(&text.len()) && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 of a-z, A-Z, 0-9, '-', '_', '.' and ':'".into())
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
    let normal = text.len() > 1 && text.starts_with('/') && !text.ends_with('/');
    if normal && text.chars().all(good) && !text.contains("//") && !text.contains("/.") {
        Ok(text.to_owned())
    } else {
        Err("expected a path such as /_onceward".into())
    }
}

#[cfg(test)]
mod tests;
