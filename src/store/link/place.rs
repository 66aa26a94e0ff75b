//! Where Redis is, and how one logs in there.
//!
//! What came from a file (the URL with its password, certificates) is read again before every new
//! connection: whoever rotates a password changes the file, and nothing needs to be restarted. A
//! file that has become unreadable or wrong is told of and changes nothing.

use arc_swap::ArcSwapOption;
use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, TlsCertificates};
use redis::{IntoConnectionInfo, RedisConnectionInfo};
use std::fmt;
use std::fs::read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What stands in front of the payments' data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One server.
    Standalone,
    /// Sentinels, which know the server.
    Sentinel,
    /// Some nodes of a Cluster, which know the others.
    Cluster,
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

/// What was configured.
#[derive(Clone)]
pub struct Source {
    /// What the URLs name.
    pub mode: Mode,
    /// The URLs, comma-separated.
    pub urls: String,
    /// The file they came from.
    pub urls_file: Option<PathBuf>,
    /// What Sentinels call the server.
    pub master: String,
    /// Who may sign the servers' certificates, in PEM; without it the system's own list.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its key, in PEM, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Where Redis is. No Debug: it knows passwords.
pub struct Place {
    source: Source,
    known: Mutex<(Read, Arc<Servers>)>,
    /// The primary that Sentinels named last, for all threads.
    primary: ArcSwapOption<Address>,
    /// Counts whatever may have put another server, or another life of it, behind our commands.
    stand: AtomicU64,
}

/// What files and variables said when they were last read.
#[derive(PartialEq)]
struct Read {
    urls: String,
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// The servers as they were last read.
pub(super) struct Servers {
    /// Those the URLs name.
    pub(super) listed: Vec<ConnectionInfo>,
    /// How one logs in to a server that is not listed.
    login: ConnectionInfo,
}

/// What is said of a URL that cannot be used; the library's own error may repeat it, and with it a
/// password.
const EXPECTED: &str = "expected redis://[user:password@]host:port[/db], rediss:// for TLS, or \
                        unix:///path[?user=..&pass=..&db=..]";

impl Place {
    /// Reads and judges what was configured.
    ///
    /// # Errors
    /// What is wrong with it, without its secrets.
    pub fn new(source: Source) -> Result<Place, String> {
        let read = source.read()?;
        let servers = Arc::new(Servers::of(&source, &read)?);
        let known = Mutex::new((read, servers));
        Ok(Place { source, known, primary: ArcSwapOption::empty(), stand: AtomicU64::new(1) })
    }

    /// What the URLs name.
    pub fn mode(&self) -> Mode {
        self.source.mode
    }

    /// How things stand: another number whenever another server may be behind our commands, on any
    /// thread.
    pub(super) fn stand(&self) -> u64 {
        self.stand.load(Ordering::Acquire)
    }

    /// A connection was made, or a command was sent elsewhere.
    pub(super) fn shift(&self) {
        self.stand.fetch_add(1, Ordering::AcqRel);
    }

    /// What Sentinels call the server.
    pub(super) fn master(&self) -> &str {
        &self.source.master
    }

    /// The primary that Sentinels named last, whichever thread asked them.
    pub(super) fn primary(&self) -> arc_swap::Guard<Option<Arc<Address>>> {
        self.primary.load()
    }

    /// Tells all threads which primary Sentinels named.
    pub(super) fn set_primary(&self, address: Address) {
        let before = self.primary.swap(Some(Arc::new(address.clone())));
        if before.as_deref() != Some(&address) {
            let before = before.map_or("none".to_owned(), |before| before.to_string());
            tracing::info!(%address, %before, "Sentinel names the primary");
        }
    }

    /// The servers as the files have them now.
    pub(super) fn servers(&self) -> Arc<Servers> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.source.has_files() {
            return known.1.clone();
        }
        // Small files, and only before a new connection: not worth a thread.
        let fresh = self.source.read().and_then(|read| match read == known.0 {
            true => Ok(None),
            false => Servers::of(&self.source, &read).map(|servers| Some((read, servers))),
        });
        match fresh {
            Ok(None) => {}
            Ok(Some((read, servers))) => {
                tracing::info!("the way to Redis was read again from its files");
                *known = (read, Arc::new(servers));
            }
            Err(error) => {
                tracing::warn!(%error, "the way to Redis cannot be read again: it stays as it was");
            }
        }
        known.1.clone()
    }
}

/// The addresses, without anything that is secret.
impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = known.1.listed.iter().map(|info| info.addr().to_string());
        out.write_str(&listed.collect::<Vec<_>>().join(","))
    }
}

impl Source {
    fn has_files(&self) -> bool {
        self.urls_file.is_some() || self.ca_file.is_some() || self.identity.is_some()
    }

    fn read(&self) -> Result<Read, String> {
        let bytes = |path: &PathBuf| {
            read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
        };
        let urls = match &self.urls_file {
            None => self.urls.clone(),
            Some(path) => String::from_utf8_lossy(&bytes(path)?).trim().to_owned(),
        };
        let identity = match &self.identity {
            None => None,
            Some((certificate, key)) => Some((bytes(certificate)?, bytes(key)?)),
        };
        Ok(Read { urls, ca: self.ca_file.as_ref().map(bytes).transpose()?, identity })
    }
}

impl Servers {
    fn of(source: &Source, read: &Read) -> Result<Servers, String> {
        let urls: Vec<&str> =
            read.urls.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
        let Some((first, others)) = urls.split_first() else {
            return Err("names no Redis".into());
        };
        if source.mode == Mode::Standalone && !others.is_empty() {
            return Err("REDIS_MODE standalone takes one URL".into());
        }
        let login = read.secured(info(first)?)?;
        let mut listed = vec![login.clone()];
        for other in others {
            listed.push(beside(&login, first, other)?);
        }
        if source.mode != Mode::Standalone
            && listed.iter().any(|info| matches!(info.addr(), ConnectionAddr::Unix(_)))
        {
            return Err("unix:// is for REDIS_MODE standalone".into());
        }
        if source.mode == Mode::Cluster && login.redis_settings().db() != 0 {
            return Err("a Cluster has only the database 0".into());
        }
        if source.mode == Mode::Sentinel {
            let of_sentinels = sentinel_login(first);
            listed = listed
                .into_iter()
                .map(|info| info.set_redis_settings(of_sentinels.clone()))
                .collect();
        }
        Ok(Servers { listed, login })
    }

    /// Where those are that the URLs name.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let named = self.listed.iter().filter_map(|info| match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Address { host: host.clone(), port: *port })
            }
            _ => None,
        });
        named.collect()
    }

    /// How one connects to a server that others told of.
    pub(super) fn at(&self, address: &Address) -> ConnectionInfo {
        at(&self.login, address.host.clone(), address.port)
    }
}

/// With that address, and all else as it is.
fn at(login: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match login.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    login.clone().set_addr(address)
}

/// A further one of a list: `host:port`, or a URL that differs from the first in nothing else.
fn beside(login: &ConnectionInfo, first: &str, other: &str) -> Result<ConnectionInfo, String> {
    let scheme = first.split("://").next().unwrap_or_default();
    let whole = match other.contains("://") {
        true => other.to_owned(),
        false => format!("{scheme}://{other}"),
    };
    let info = info(&whole)?;
    let (mine, theirs) = (login.redis_settings(), info.redis_settings());
    let same = theirs.password().is_none()
        || (theirs.username(), theirs.password()) == (mine.username(), mine.password());
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }
            if same && whole.starts_with(&format!("{scheme}://")) =>
        {
            Ok(at(login, host.clone(), *port))
        }
        _ => Err("all URLs of a list share scheme, user and password: after the first, host:port \
                  will do"
            .into()),
    }
}

/// How one logs in to Sentinels: by `?sentinel_user=..&sentinel_password=..`, else not at all.
fn sentinel_login(url: &str) -> RedisConnectionInfo {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        login = match &*name {
            "sentinel_user" => login.set_username(&value),
            "sentinel_password" => login.set_password(&value),
            _ => login,
        };
    }
    login
}

impl Read {
    /// With the certificates that were configured, where the connection is a TLS one.
    fn secured(&self, info: ConnectionInfo) -> Result<ConnectionInfo, String> {
        let ConnectionAddr::TcpTls { insecure, .. } = info.addr() else {
            return match self.ca.is_some() || self.identity.is_some() {
                true => Err("certificates are for rediss:// URLs".into()),
                false => Ok(info),
            };
        };
        if *insecure {
            return Err("#insecure is not supported: name the CA in REDIS_CA_FILE".into());
        }
        let certificates = TlsCertificates {
            client_tls: self
                .identity
                .clone()
                .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
            root_cert: self.ca.clone(),
        };
        let client = Client::build_with_tls(info, certificates)
            .map_err(|error| error.detail().unwrap_or("bad certificates").to_owned())?;
        Ok(client.get_connection_info().clone())
    }
}

fn info(url: &str) -> Result<ConnectionInfo, String> {
    let info = url.into_connection_info().map_err(|_| EXPECTED.to_owned())?;
    if info.redis_settings().db() < 0 {
        return Err(format!("a database is a number from 0; {EXPECTED}"));
    }
    // The library would introduce itself by a command that a user need not be allowed.
    let login = info.redis_settings().clone().set_skip_set_lib_name();
    // A command does not wait for the acknowledgement of the one before.
    let prompt = info.tcp_settings().clone().set_nodelay(true);
    Ok(info.set_redis_settings(login).set_tcp_settings(prompt))
}
