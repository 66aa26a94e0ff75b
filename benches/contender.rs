//! Who is measured, side by side: nobody, nginx, nginx with Lua, Onceward, and the floor below it.

use crate::process::Process;
use crate::redis::Redis;
use crate::upstream::Upstream;
use crate::{BenchError, floor, free_port, until};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kinds of contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// No proxy: the payment service itself.
    Direct,
    /// nginx, passing on.
    Nginx,
    /// nginx with the job written by hand in Lua, for speed.
    NginxLua,
    /// nginx with the job written by hand in Lua, with the libraries that everybody takes.
    NginxResty,
    /// Onceward as it comes.
    Onceward,
    /// Onceward, asking Redis for every duplicate.
    OncewardThroughRedis,
    /// Onceward, where its Redis is one of a Cluster.
    OncewardOnCluster,
    /// The floor of a first request: see [`floor`].
    WayAlone,
    /// The floor of what Redis does for a first request.
    WritesAlone,
    /// The floor of a duplicate that asks Redis.
    EmptyScript,
    /// The floor of a duplicate that does not.
    HyperAlone,
}

impl Kind {
    /// What it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Direct => "no proxy",
            Kind::Nginx => "nginx, plain proxy",
            Kind::NginxLua => "nginx + Lua + Redis",
            Kind::NginxResty => "nginx + Lua, resty.redis",
            Kind::Onceward => "Onceward",
            Kind::OncewardThroughRedis => "Onceward, LOCAL_CACHE=0",
            Kind::OncewardOnCluster => "Onceward on a Cluster",
            Kind::WayAlone => "floor: the way alone",
            Kind::WritesAlone => "floor: the way, its writes done",
            Kind::EmptyScript => "floor: one empty script",
            Kind::HyperAlone => "floor: hyper alone",
        }
    }

    /// Whether it is somebody else's and may be missing here.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Kind::Nginx | Kind::NginxLua | Kind::NginxResty)
    }

    /// The commands that it sends to Redis, each counted by its own name or by one it calls once.
    pub(crate) fn commands(self) -> &'static [&'static str] {
        match self {
            // Its script is counted by the GET in it.
            Kind::NginxResty => &["get", "set"],
            _ => &["evalsha", "eval"],
        }
    }

    /// Whether it is Onceward.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Kind::Onceward | Kind::OncewardThroughRedis | Kind::OncewardOnCluster)
    }
}

/// One that runs.
pub(crate) struct Contender {
    /// Where it takes requests.
    pub(crate) address: SocketAddr,
    /// Its process; none where there is no proxy.
    pub(crate) process: Option<Process>,
}

/// Variables by name.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// The binary that all of Onceward's contenders run.
pub(crate) struct Sidecar {
    /// Where it is. Not the one that Cargo builds beside the bench: that one has the features which the
    /// tests ask of its dependencies.
    pub(crate) binary: PathBuf,
    /// More variables for it; none where it is measured.
    pub(crate) variables: Variables,
}

impl Sidecar {
    /// The same with more variables.
    pub(crate) fn with(&self, more: Variables) -> Sidecar {
        let variables = self.variables.iter().cloned().chain(more).collect();
        Sidecar { binary: self.binary.clone(), variables }
    }
}

/// What all contenders stand between.
pub(crate) struct Place<'a> {
    /// The bench's temporary folder.
    pub(crate) folder: &'a Path,
    /// The payment service.
    pub(crate) upstream: &'a Upstream,
    /// Redis.
    pub(crate) redis: &'a Redis,
    /// Onceward.
    pub(crate) sidecar: &'a Sidecar,
}

impl Contender {
    /// Starts one and waits until it takes connections.
    ///
    /// # Errors
    /// Why it cannot be measured: it is not installed, or does not start.
    pub(crate) fn start(kind: Kind, place: &Place<'_>) -> Result<Contender, BenchError> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = match kind {
            Kind::Direct => {
                return Ok(Contender { address: place.upstream.address, process: None });
            }
            Kind::Nginx => nginx("plain.conf", "", address, place)?,
            Kind::NginxLua => nginx("lua.conf", "once", address, place)?,
            Kind::NginxResty => nginx("lua.conf", "usual", address, place)?,
            Kind::Onceward => onceward(address, place)?,
            Kind::OncewardOnCluster => {
                let mut command = onceward(address, place)?;
                command.env("ONCEWARD_REDIS_MODE", "cluster");
                command
            }
            Kind::OncewardThroughRedis => {
                let mut command = onceward(address, place)?;
                command.env("ONCEWARD_LOCAL_CACHE", "0");
                command
            }
            Kind::WayAlone => floor::command("way", address, place)?,
            Kind::WritesAlone => floor::command("writes", address, place)?,
            Kind::EmptyScript => floor::command("script", address, place)?,
            Kind::HyperAlone => floor::command("library", address, place)?,
        };
        let mut process = Process::start(&mut command)?;
        until("it takes connections", || match process.runs() {
            true => TcpStream::connect(address).ok().map(|_| Ok(())),
            false => Some(Err(BenchError::Wrong("it ended before it took a connection".into()))),
        })??;
        Ok(Contender { address, process: Some(process) })
    }
}

/// Onceward with nothing set but where things are, and what its binary asks for.
fn onceward(address: SocketAddr, place: &Place<'_>) -> Result<Command, BenchError> {
    let mut command = Command::new(&place.sidecar.binary);
    command
        .env_clear()
        .env("ONCEWARD_LISTEN", address.to_string())
        .env("ONCEWARD_ADMIN_LISTEN", format!("127.0.0.1:{}", free_port()?))
        .env("ONCEWARD_UPSTREAM", format!("http://{}", place.upstream.address))
        .env("ONCEWARD_REDIS_URL", place.redis.url())
        .envs(place.sidecar.variables.iter().map(|(name, value)| (name, value)));
    Ok(command)
}

/// nginx with one of the configurations in `peers/`, its places filled in; `job` is what its Lua runs.
fn nginx(
    file: &str,
    job: &str,
    address: SocketAddr,
    place: &Place<'_>,
) -> Result<Command, BenchError> {
    let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");
    let text = fs::read_to_string(format!("{peers}/{file}"))?
        .replace("@FOLDER@", &place.folder.display().to_string())
        .replace("@LISTEN@", &address.to_string())
        .replace("@UPSTREAM@", &place.upstream.address.to_string())
        .replace("@REDIS@", &place.redis.port.to_string())
        .replace("@PEERS@", peers)
        .replace("@JOB@", job)
        .replace("@MODULES@", "/usr/lib/nginx/modules");
    let filled = place.folder.join(file);
    fs::write(&filled, text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(place.folder).arg("-c").arg(&filled);
    Ok(command)
}
