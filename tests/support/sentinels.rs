//! A primary, two replicas, and three Sentinels that watch them.

use super::redis::{Redis, command};
use super::{free_port, until};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Dead after so many ms of silence: short, and longer than a busy machine sleeps.
const DOWN_AFTER_MS: u32 = 1500;

/// The name they know the primary by.
pub const MASTER: &str = "payments";

pub struct Watched {
    /// The one that begins as primary, then the others.
    pub servers: Vec<Redis>,
    pub sentinels: Vec<Sentinel>,
}

/// A running Sentinel; killed when dropped.
pub struct Sentinel {
    child: Child,
    pub port: u16,
    _folder: TempDir,
}

impl Watched {
    /// Started and agreed; `more` are further lines of the Sentinels' configuration.
    pub fn start(more: &str) -> Watched {
        let primary = Redis::start();
        let port = primary.port.to_string();
        let replica = || Redis::start_with(&["--replicaof", "127.0.0.1", &port]);
        let servers = vec![primary, replica(), replica()];
        until("both replicas follow", || {
            servers[1..].iter().all(|one| one.replication("master_link_status") == "up")
        });
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(servers[0].port, more)).collect();
        let watched = Watched { servers, sentinels };
        if more.is_empty() {
            watched.agreed();
        }
        watched
    }

    fn agreed(&self) {
        until("the Sentinels know each other and the replicas", || {
            self.sentinels.iter().all(|sentinel| {
                let known = command(sentinel.port, &["SENTINEL", "MASTER", MASTER]);
                let known = known.unwrap_or_default();
                let words: Vec<&str> = known.lines().collect();
                let of = |field: &str| {
                    let at = words.iter().position(|word| *word == field)?;
                    words.get(at + 1).copied()
                };
                of("num-other-sentinels") == Some("2") && of("num-slaves") == Some("2")
            })
        });
    }

    /// What REDIS_URL says: the first as a URL, the others as host:port.
    pub fn urls(&self) -> String {
        let all: Vec<_> =
            self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        format!("redis://{}", all.join(","))
    }

    /// The number of the server that is primary now, other than `before`.
    pub fn promoted(&self, before: usize) -> Option<usize> {
        (0..self.servers.len())
            .find(|n| *n != before && self.servers[*n].replication("role") == "master")
    }
}

impl Sentinel {
    fn start(primary: u16, more: &str) -> Sentinel {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("sentinel.conf");
        for _ in 0..20 {
            let port = free_port();
            let lines = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\n\
                 sentinel monitor {MASTER} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\n\
                 sentinel failover-timeout {MASTER} 6000\n{more}\n",
                folder.path().display(),
            );
            std::fs::write(&file, lines).expect("a file");
            let mut child = Command::new("redis-server")
                .arg(&file)
                .arg("--sentinel")
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server is installed");
            let mut over = false;
            until("a Sentinel answers", || {
                over = child.try_wait().expect("a child").is_some();
                over || command(port, &["INFO", "server"]).is_some_and(|info| {
                    info.contains(&format!("process_id:{}\r", child.id()))
                        || info.contains("NOAUTH")
                })
            });
            if !over {
                return Sentinel { child, port, _folder: folder };
            }
        }
        panic!("no Sentinel would start");
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.kill();
    }
}
