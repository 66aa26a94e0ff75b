//! Where Redis is, and how one logs in there.
//!
//! What came from a file (the URL with its password, certificates) is read again before every new
//! connection: whoever rotates a password changes the file, and nothing needs to be restarted. A
//! file that has become unreadable or wrong is told of and changes nothing.

use redis::IntoConnectionInfo;
use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, TlsCertificates};
use std::fmt;
use std::fs::read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands in front of the payments' data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One server.
    Standalone,
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
    /// Who may sign the servers' certificates, in PEM; without it the system's own list.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its key, in PEM, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Where Redis is. No Debug: it knows passwords.
pub struct Place {
    source: Source,
    known: Mutex<(Read, Arc<Servers>)>,
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
        Ok(Place { source, known: Mutex::new((read, servers)) })
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
        let [url] = urls.as_slice() else {
            return Err(match urls.is_empty() {
                true => "names no Redis".into(),
                false => "REDIS_MODE standalone takes one URL".into(),
            });
        };
        let Mode::Standalone = source.mode;
        Ok(Servers { listed: vec![read.secured(info(url)?)?] })
    }
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
    // The library would introduce itself by a command that a user need not be allowed.
    let login = info.redis_settings().clone().set_skip_set_lib_name();
    Ok(info.set_redis_settings(login))
}
