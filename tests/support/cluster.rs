//! A Cluster of three primaries and a replica each, on this machine.

use super::redis::Redis;
use super::{free_port, until};

/// Dead after so many ms of silence: short, and longer than a busy machine sleeps.
const NODE_TIMEOUT_MS: &str = "2000";
const SLOTS: u32 = 16384;

pub struct Cluster {
    /// Three primaries, then the replica of each, in the same order.
    pub nodes: Vec<Redis>,
}

impl Cluster {
    pub fn start() -> Cluster {
        let node = || {
            Redis::start_with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                NODE_TIMEOUT_MS,
                // By default a third of the ephemeral ports would leave none for the bus.
                "--cluster-port",
                &free_port().to_string(),
                "--repl-diskless-sync-delay",
                "0",
            ])
        };
        let cluster = Cluster { nodes: (0..6).map(|_| node()).collect() };
        cluster.join();
        cluster
    }

    fn join(&self) {
        for (n, node) in self.nodes.iter().enumerate() {
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
        }
        for n in 0..3 {
            let (first, last) = (SLOTS * n / 3, SLOTS * (n + 1) / 3 - 1);
            let range = [first.to_string(), last.to_string()];
            let said =
                self.nodes[n as usize].command(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
            assert_eq!(said, "OK");
        }
        for node in &self.nodes[1..] {
            let (port, bus) = (node.port.to_string(), bus(node));
            let said = self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            assert_eq!(said, "OK");
        }
        until("all nodes know each other", || {
            self.nodes.iter().all(|node| {
                let known = node.command(&["CLUSTER", "NODES"]);
                known.lines().count() == 6 && !known.contains("handshake")
            })
        });
        for n in 0..3 {
            let primary = self.id(n);
            let replica = &self.nodes[n + 3];
            until("a replica is one", || {
                replica.command(&["CLUSTER", "REPLICATE", &primary]) == "OK"
            });
        }
        until("the Cluster is whole", || {
            let whole = self.nodes.iter().all(|node| {
                let info = node.command(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && {
                    let slots = node.command(&["CLUSTER", "SLOTS"]);
                    // Every range with its primary and its replica.
                    slots.matches("127.0.0.1").count() >= 6
                }
            });
            whole
                && self.nodes[3..].iter().all(|node| node.replication("master_link_status") == "up")
        });
    }

    /// A node's name in the Cluster.
    pub fn id(&self, n: usize) -> String {
        self.nodes[n].command(&["CLUSTER", "MYID"])
    }

    /// What REDIS_URL says: two of the nodes, which know the others.
    pub fn urls(&self) -> String {
        format!("redis://127.0.0.1:{},127.0.0.1:{}", self.nodes[0].port, self.nodes[1].port)
    }

    /// The slot of a partition's keys.
    pub fn slot(&self, partition: u8) -> u32 {
        let tag = format!("{{p{partition:02}}}");
        self.nodes[1].command(&["CLUSTER", "KEYSLOT", &tag]).parse().expect("a number")
    }

    /// Moves one slot, key by key, as a resharding does; `pause` is called between its steps.
    pub fn move_slot(&self, slot: u32, from: usize, to: usize, pause: impl Fn()) {
        let (text, source, target) = (slot.to_string(), self.id(from), self.id(to));
        let ok = |n: usize, words: &[&str]| {
            let said = self.nodes[n].command(&[&["CLUSTER", "SETSLOT", &text], words].concat());
            assert_eq!(said, "OK");
        };
        ok(to, &["IMPORTING", &source]);
        ok(from, &["MIGRATING", &target]);
        pause();
        let port = self.nodes[to].port.to_string();
        loop {
            let keys = self.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &text, "3"]);
            if keys.is_empty() {
                break;
            }
            for key in keys.lines() {
                let said =
                    self.nodes[from].command(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
                assert!(said == "OK" || said == "NOKEY", "{said}");
            }
            pause();
        }
        for n in [to, from] {
            ok(n, &["NODE", &target]);
        }
        // A slot that moves on before all know of the last move could end up with two nodes that
        // each think it is the other's.
        until("all nodes know the same epoch", || {
            let epoch = |node: &Redis| {
                let info = node.command(&["CLUSTER", "INFO"]);
                let found = info.lines().find(|line| line.starts_with("cluster_current_epoch"));
                found.expect("an epoch").to_owned()
            };
            self.nodes.iter().all(|node| epoch(node) == epoch(&self.nodes[to]))
        });
        pause();
    }

    /// How often a node said that, as `INFO errorstats` counts it.
    pub fn said(&self, n: usize, word: &str) -> u64 {
        let stats = self.nodes[n].command(&["INFO", "errorstats"]);
        let head = format!("errorstat_{word}:count=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&head));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }
}

fn bus(node: &Redis) -> String {
    let nodes = node.command(&["CLUSTER", "NODES"]);
    let me = nodes.lines().find(|line| line.contains("myself")).expect("itself");
    let bus = me.split('@').nth(1).and_then(|rest| rest.split([' ', ',']).next());
    bus.expect("a bus port").to_owned()
}
