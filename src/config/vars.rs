//! Every variable: its name, its default, what it is for. The README's and the chart's tables are
//! held to this one by a test.

/// The prefix of every variable but those that are OpenTelemetry's.
pub const PREFIX: &str = "ONCEWARD_";

/// One variable.
#[derive(Debug, Clone, Copy)]
pub struct Var {
    /// Its name without the prefix; one of OpenTelemetry's has none.
    pub name: &'static str,
    /// Its default; empty for none.
    pub default: &'static str,
    /// What it is for, in a few words.
    pub about: &'static str,
    /// Whether a route may override it.
    pub of_route: bool,
    /// Whether it is shown masked, and may also come from the file that `<name>_FILE` names.
    pub secret: bool,
}

const fn process(name: &'static str, default: &'static str, about: &'static str) -> Var {
    Var { name, default, about, of_route: false, secret: false }
}

const fn route(name: &'static str, default: &'static str, about: &'static str) -> Var {
    Var { name, default, about, of_route: true, secret: false }
}

const fn secret(name: &'static str, default: &'static str, about: &'static str) -> Var {
    Var { name, default, about, of_route: false, secret: true }
}

impl Var {
    /// Its name as it is set.
    pub fn whole_name(&self) -> String {
        match self.name.starts_with(OTEL) {
            true => self.name.to_owned(),
            false => format!("{PREFIX}{}", self.name),
        }
    }
}

/// What the names of OpenTelemetry's variables begin with.
pub const OTEL: &str = "OTEL_";

/// All of them, in the contract's order.
pub const VARS: &[Var] = &[
    process("LISTEN", "0.0.0.0:8080", "data plane"),
    process("ADMIN_LISTEN", "127.0.0.1:9090", "admin plane"),
    secret("ADMIN_TOKEN", "", "bearer token of `/admin/`; without it only loopback may ask"),
    secret("ADMIN_READ_TOKEN", "", "a second token, for those who may look but not act"),
    process("UPSTREAM", "http://127.0.0.1:8081", "the payment service"),
    process("UPSTREAM_CONNECT_TIMEOUT", "1s", "how long a connection to it may take"),
    route("UPSTREAM_TIMEOUT", "30s", "how long it may take to answer"),
    process("HEADER_TIMEOUT", "10s", "how long a caller may take for a request's head"),
    process(
        "IDLE_TIMEOUT",
        "75s",
        "how long a caller's connection may idle between two requests; more than gateways allow",
    ),
    process(
        "BODY_TIMEOUT",
        "30s",
        "how long for a protected body, or between two pieces of another",
    ),
    secret(
        "REDIS_URL",
        "redis://127.0.0.1:6379",
        "`redis://`, `rediss://` (TLS) or `unix://`; a list for Sentinel and Cluster",
    ),
    process("REDIS_MODE", "standalone", "standalone, sentinel, cluster"),
    process("REDIS_MASTER_NAME", "mymaster", "Sentinel's name of the primary"),
    process(
        "REDIS_CA_FILE",
        "",
        "who signs the certificates of `rediss://`; else the system's list",
    ),
    process("REDIS_CERT_FILE", "", "our own certificate, for a Redis that asks for one; PEM"),
    process("REDIS_KEY_FILE", "", "its key"),
    process("REDIS_TIMEOUT", "500ms", "one command"),
    process("REDIS_POOL_SIZE", "0", "multiplexed connections; 0 = one per runtime thread"),
    process(
        "REDIS_WAIT_REPLICAS",
        "0",
        "replicas that must confirm a claim before anything is sent",
    ),
    process("REDIS_WAIT_TIMEOUT", "100ms", "how long they may take"),
    process(
        "HISTORY_WINDOW",
        "60s",
        "how long orders are asked about before they are sent once Redis lost its history; 0s: never",
    ),
    route("REDIS_DOWN", "reject", "reject (503) or bypass (forward unprotected, counted)"),
    process("NAMESPACE", "onceward", "prefix of every Redis key"),
    route("LOCK_TTL", "30s", "lease of an attempt; renewed at a third of it"),
    route("RECORD_TTL", "24h", "how long a final order is kept"),
    route("UNKNOWN_TTL", "168h", "how long an order nobody could resolve is kept"),
    route("CANCEL_TTL", "72h", "how long a tombstone is kept"),
    route("CALLBACK_TTL", "72h", "how long an acknowledged callback is kept"),
    route("TOKEN_TTL", "15m", "how long a token is good"),
    route("DUPLICATE_WAIT", "5s", "how long a duplicate waits for the first; 0s = 409 at once"),
    route("QUERY_INTERVAL", "3s", "first query of an unknown order"),
    route("RESOLVE_DEADLINE", "60s", "when an unresolved order is cancelled"),
    route("SETTLE_DELAY", "15s", "how long `absent` is not believed"),
    route("CANCEL_INTERVAL", "5s", "between two cancel calls"),
    route("KEY", "header:Idempotency-Key", "where the key stands, tried in order"),
    route("KEY_REQUIRED", "false", "whether a request without a key is refused"),
    route("METHODS", "POST,PATCH", "methods that are protected"),
    route("SCOPE", "", "headers that partition keys"),
    route("CALLER", "authorization", "headers that identify the caller"),
    route("FINGERPRINT", "body", "body (bytes), json (canonical JSON), off"),
    route("FINGERPRINT_IGNORE", "", "JSON pointers or fields that may differ between retries"),
    route("TOKEN", "off", "off, optional, required"),
    route("ON_UNKNOWN", "hold", "hold, retry"),
    route("MAX_REQUEST_BODY", "1MiB", "largest protected request"),
    route("MAX_RESPONSE_BODY", "1MiB", "largest response that is stored"),
    process("REPLAY_HEADER", "Idempotent-Replayed", "name of the replay marker"),
    process("MAX_IN_FLIGHT", "1024", "protected requests handled at once; beyond it 503"),
    process("BODY_MEMORY", "32MiB", "memory for large request bodies in hand; beyond it 503"),
    process("MAX_QUEUED", "16384", "orders in the buffer; each of 64 partitions takes its share"),
    process("QUEUE_RETRY", "250ms", "before a queued order's second try; the next ones double"),
    process("LOCAL_CACHE", "8MiB", "memory for finished responses; 0 = always ask Redis"),
    process("PREFIX", "/_onceward", "reserved path prefix of Onceward's own endpoints"),
    secret("SECRET", "", "keys fingerprints and seals bodies; comma-separated, first writes"),
    process("ROUTES", "", "routes as JSON, inline or a file's path"),
    process("FAULTS", "off", "off, on: fault simulation"),
    process("DRAIN_TIMEOUT", "25s", "how long SIGTERM waits for what is running"),
    process("LOG", "info", "tracing filter"),
    process("LOG_FORMAT", "json", "json or text"),
    process(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "`http://collector:4318`: traces are exported there",
    ),
    process("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "the only one that is spoken"),
    secret("OTEL_EXPORTER_OTLP_HEADERS", "", "headers for the collector: `name=value,name=value`"),
    process("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "ms the collector may take"),
    process(
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "",
        "file of who signs the collector's certificate; else the system's list",
    ),
    process(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "always_on, always_off, traceidratio; parentbased_ before it: the caller decides first",
    ),
    process("OTEL_TRACES_SAMPLER_ARG", "1.0", "the share that traceidratio keeps, 0 to 1"),
    process("OTEL_SERVICE_NAME", "onceward", "what this service is called in traces"),
    process("OTEL_RESOURCE_ATTRIBUTES", "", "more to say of it: `name=value,name=value`"),
];

/// The variable of that name.
///
/// # Panics
/// When there is none: names are written in this crate only.
pub fn var(name: &str) -> &'static Var {
    VARS.iter()
        .find(|var| var.name == name)
        .unwrap_or_else(|| panic!("no variable is called {name}"))
}

/// A route's field as the variable it overrides.
pub fn of_field(field: &str) -> Option<&'static Var> {
    VARS.iter().find(|var| var.of_route && var.name.eq_ignore_ascii_case(field))
}
