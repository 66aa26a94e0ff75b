//! Everything that runs, from its start to its end.

use super::banner;
use super::folder::Folder;
use super::leash::{Ended, Leashed};
use super::port::Port;
use super::settings::Settings;
use super::{DevError, probe, redis};
use crate::sandbox;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long the sidecar may take until it is ready.
const READY: Duration = Duration::from_secs(10);

/// Beyond its own drain timeout, how long the sidecar may take to end.
const AFTER_DRAIN: Duration = Duration::from_secs(2);

/// How long redis-server may take to write what it has and end.
const REDIS_END: Duration = Duration::from_secs(10);

/// The first and the longest pause before a sidecar that does not stay is started again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The path of the callbacks, as `routes.json` has it.
const NOTIFY: &str = "/notify";

/// All there is, in the order it was started.
pub(super) struct Place {
    settings: Settings,
    folder: Folder,
    data: Port,
    admin: Port,
    redis: Option<Leashed>,
    sandbox: Option<Sandbox>,
    sidecar: Option<Leashed>,
}

/// The payment service, a task of this process.
struct Sandbox {
    address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
    stop: CancellationToken,
}

impl Place {
    /// Takes the ports and the folder; nothing runs yet.
    pub(super) fn new(mut settings: Settings) -> Result<Place, DevError> {
        let data = Port::hold(settings.config.listen)?;
        let admin = Port::hold(settings.config.admin_listen)?;
        settings.give("LISTEN", data.address.to_string());
        settings.give("ADMIN_LISTEN", admin.address.to_string());
        Ok(Place {
            settings,
            folder: Folder::new()?,
            data,
            admin,
            redis: None,
            sandbox: None,
            sidecar: None,
        })
    }

    /// Starts everything, then keeps it running; returns when it cannot. May be dropped any time:
    /// what was started is known here, and ended by [`Place::stop`].
    pub(super) async fn run(&mut self) -> DevError {
        match self.start().await {
            Ok(()) => self.keep_running().await,
            Err(error) => error,
        }
    }

    async fn start(&mut self) -> Result<(), DevError> {
        if self.settings.needs_redis {
            let port = redis::start(self.folder.path(), &mut self.redis).await?;
            let url = format!("redis://127.0.0.1:{port}");
            self.settings.give("REDIS_URL", url);
        }
        if self.settings.needs_sandbox {
            let sandbox = Sandbox::start(self.ledger(), self.data.url()).await?;
            let url = format!("http://{}", sandbox.address);
            self.settings.give("UPSTREAM", url);
            self.sandbox = Some(sandbox);
        }
        let sidecar = self.sidecar.insert(spawn(&self.settings).await?);
        serving(sidecar, &self.admin).await?;
        banner::ready(&self.facts());
        Ok(())
    }

    async fn keep_running(&mut self) -> DevError {
        let sidecar = async {
            match &mut self.sidecar {
                Some(sidecar) => keep_alive(sidecar, &self.settings, &self.admin).await,
                None => pending().await,
            }
        };
        let redis = async {
            match &mut self.redis {
                Some(redis) => redis.ended().await,
                None => pending().await,
            }
        };
        let sandbox = async {
            match &mut self.sandbox {
                Some(sandbox) => (&mut sandbox.task).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Err(error) = sidecar => error,
            ended = redis => DevError::RedisEnded(ended),
            ended = sandbox => DevError::Sandbox(match ended {
                Ok(Err(error)) => error,
                Ok(Ok(())) => io::Error::other("nobody asked it to"),
                Err(panic) => io::Error::other(panic),
            }),
        }
    }

    /// Ends everything in the opposite order: the sidecar settles what it has in hand while Redis
    /// and the payment service are still there.
    pub(super) async fn stop(&mut self) {
        if let Some(sidecar) = self.sidecar.take() {
            let patience = self.settings.config.drain_timeout + AFTER_DRAIN;
            sidecar.terminate(patience).await;
        }
        if let Some(sandbox) = self.sandbox.take() {
            sandbox.stop.cancel();
            if !sandbox.task.is_finished() {
                let _ = sandbox.task.await;
            }
        }
        if let Some(redis) = self.redis.take() {
            redis.terminate(REDIS_END).await;
        }
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.jsonl")
    }

    fn facts(&self) -> banner::Facts {
        let pid = |child: &Option<Leashed>| child.as_ref().map(|child| child.pid);
        banner::Facts {
            url: self.data.url(),
            admin: self.admin.url(),
            upstream: self.settings.config.upstream.clone(),
            sandbox: self.sandbox.as_ref().map(|it| format!("http://{}", it.address)),
            ledger: self.sandbox.as_ref().map(|_| self.ledger()),
            sidecar_pid: pid(&self.sidecar),
            redis_pid: pid(&self.redis),
            short_lease: self
                .settings
                .is_given("LOCK_TTL")
                .then(|| self.settings.config.routes.0[0].tuning.lock_ttl),
        }
    }
}

impl Sandbox {
    /// Its callbacks go where its payments come from: through the sidecar, at `sidecar`.
    async fn start(ledger: PathBuf, sidecar: String) -> Result<Sandbox, DevError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let notify_url = Some(format!("{sidecar}{NOTIFY}"));
        let config = sandbox::Config { notify_url, ..sandbox::Config::new(ledger) };
        let serving = sandbox::run(listener, config, stop.clone());
        Ok(Sandbox { address, task: tokio::spawn(serving), stop })
    }
}

/// Starts a sidecar, as a pod would: this binary, its environment, no arguments that matter.
async fn spawn(settings: &Settings) -> Result<Leashed, DevError> {
    let program = std::env::current_exe()?;
    Ok(Leashed::spawn(program, &["serve"], &settings.given).await?)
}

/// Waits until the sidecar is ready.
async fn serving(sidecar: &mut Leashed, admin: &Port) -> Result<(), DevError> {
    tokio::select! {
        ended = sidecar.ended() => Err(DevError::SidecarEnded(ended)),
        ready = probe::ready(admin.reachable(), READY) => ready.map_err(DevError::NotReady),
    }
}

/// Starts the sidecar again whenever it ends, as a kubelet would: at once, then more slowly while
/// it does not stay.
async fn keep_alive(
    sidecar: &mut Leashed,
    settings: &Settings,
    admin: &Port,
) -> Result<Infallible, DevError> {
    let (first, longest) = PAUSES;
    let mut pause = Duration::ZERO;
    loop {
        let ended: Ended = sidecar.ended().await;
        banner::sidecar_ended(sidecar.pid, ended);
        sleep(pause).await;
        *sidecar = spawn(settings).await?;
        pause = match serving(sidecar, admin).await {
            Ok(()) => {
                banner::sidecar_restarted(sidecar.pid);
                Duration::ZERO
            }
            Err(error) => {
                banner::trouble(&error);
                (pause * 2).clamp(first, longest)
            }
        };
    }
}
