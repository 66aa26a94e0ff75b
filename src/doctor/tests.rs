//! The doctor at the bed of real servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Instant,
};

use redis::{IntoConnectionInfo, aio::MultiplexedConnection};
use tempfile::TempDir;

use super::*;

/// Longer than any healthy answer on a busy machine, so that only a sick server meets it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may take to come up.
const START: Duration = Duration::from_secs(20);

/// What makes a server one that money may rest on.
const HEALTHY: [&str; 4] = ["--appendonly", "yes", "--maxmemory", "64mb"];

/// A private `redis-server`, gone when dropped.
struct Server {
    process: Child,
    port: u16,
    admin: MultiplexedConnection,
    _folder: TempDir,
}

impl Server {
    async fn start(arguments: &[&str]) -> Self {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(server) = Self::try_start(arguments, deadline).await {
                return server;
            }
        }
        panic!("redis-server did not start within {START:?}");
    }

    /// None when another process took the port between our choice and the server's bind.
    async fn try_start(arguments: &[&str], deadline: Instant) -> Option<Self> {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(folder.path())
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();

        while process.try_wait().unwrap().is_none() && Instant::now() < deadline {
            if let Ok(mut admin) = client.get_multiplexed_async_connection().await
                && let Ok(info) = redis::cmd("INFO").query_async::<String>(&mut admin).await
                // The one that answers must be ours, not the winner of a race for the port.
                && info.contains(&format!("process_id:{}\r\n", process.id()))
            {
                return Some(Self { process, port, admin, _folder: folder });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = process.kill();
        process.wait().unwrap();
        None
    }

    async fn say<T: redis::FromRedisValue>(&mut self, words: &str) -> T {
        let mut command = redis::Cmd::new();
        for word in words.split_whitespace() {
            command.arg(word);
        }
        command.query_async(&mut self.admin).await.unwrap()
    }

    fn url(&self, login: &str) -> String {
        format!("redis://{login}127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn patient(redis_url: &str) -> Patient<'static> {
    Patient {
        server: redis_url.into_connection_info().unwrap(),
        partition: None,
        timeout: TIMEOUT,
        namespace: "onceward",
        wait_replicas: 0,
        cluster_mode: false,
        secret_set: true,
        lock_ttl: Duration::from_secs(30),
    }
}

fn finding<'a>(report: &'a Report, check: &str) -> &'a Finding {
    report.findings.iter().find(|finding| finding.check == check).unwrap()
}

/// Exactly these checks fail.
#[track_caller]
fn assert_fails(report: &Report, checks: &[&str]) {
    let failing = |finding: &&Finding| finding.verdict == Verdict::Fail;
    let failed: Vec<_> = report.findings.iter().filter(failing).map(|f| f.check).collect();
    assert_eq!(failed, checks, "\n{report}");
    assert_eq!(report.failed(), !checks.is_empty());
}

#[tokio::test]
async fn a_healthy_server_is_fine_in_every_way_and_left_as_it_was() {
    let mut server = Server::start(&HEALTHY).await;

    let report = examine(patient(&server.url(""))).await;

    assert_fails(&report, &[]);
    // How fast this machine is today is not the server's fault.
    let others = report.findings.iter().filter(|finding| finding.check != "latency");
    assert!(others.clone().all(|finding| finding.verdict == Verdict::Ok), "\n{report}");
    assert!(others.clone().all(|finding| finding.advice.is_none()), "\n{report}");
    assert_eq!(server.say::<u64>("DBSIZE").await, 0);
}

#[tokio::test]
async fn a_server_that_forgets_fails_and_each_weakness_is_named() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]).await;
    let url = server.url("");
    let weak = Patient { wait_replicas: 1, cluster_mode: true, secret_set: false, ..patient(&url) };

    let report = examine(Patient { lock_ttl: TIMEOUT, ..weak }).await;

    assert_fails(&report, &["cluster", "eviction", "persistence", "replicas"]);
    assert_eq!(finding(&report, "eviction").found, "allkeys-lru");
    for check in ["memory", "lease", "secret"] {
        assert_eq!(finding(&report, check).verdict, Verdict::Warn, "\n{report}");
    }
}

#[tokio::test]
async fn refused_commands_are_named_by_a_dry_run() {
    let mut server = Server::start(&HEALTHY).await;
    let _: () =
        server.say("ACL SETUSER pay on >s3cret ~onceward:* &onceward:* +@all -zadd -xlen").await;

    let report = examine(patient(&server.url("pay:s3cret@"))).await;

    assert_fails(&report, &["permissions"]);
    let permissions = finding(&report, "permissions");
    assert_eq!(permissions.found, "refused: ZADD, XLEN");
    assert_eq!(
        permissions.advice.as_deref(),
        Some("ACL SETUSER pay ~onceward:* &onceward:* +zadd +xlen")
    );
    assert!(!report.to_string().contains("s3cret"));
}

#[tokio::test]
async fn refused_commands_are_named_without_a_dry_run_too() {
    let mut server = Server::start(&HEALTHY).await;
    let _: () = server
        .say("ACL SETUSER pay on >s3cret ~onceward:* &onceward:* +@all -acl -config -zadd -wait")
        .await;
    let report = examine(patient(&server.url("pay:s3cret@"))).await;

    assert_fails(&report, &["permissions"]);
    assert_eq!(finding(&report, "permissions").found, "refused: ZADD, WAIT");
    // What CONFIG GET keeps to itself, INFO tells.
    assert_eq!(finding(&report, "eviction").verdict, Verdict::Ok);
    assert_eq!(finding(&report, "memory").verdict, Verdict::Ok);
    assert_eq!(server.say::<u64>("DBSIZE").await, 0);
}

#[tokio::test]
async fn a_user_of_another_namespace_may_neither_write_nor_listen() {
    let mut server = Server::start(&HEALTHY).await;
    let _: () = server.say("ACL SETUSER pay on >s3cret ~other:* &other:* +@all -acl").await;

    let report = examine(patient(&server.url("pay:s3cret@"))).await;

    assert_fails(&report, &["permissions", "writes"]);
    let refused = &finding(&report, "permissions").found;
    for command in ["EVALSHA", "SET", "PUBLISH", "SUBSCRIBE"] {
        assert!(refused.contains(command), "{refused}");
    }
    assert!(!refused.contains("PING"), "{refused}");
}

#[tokio::test]
async fn a_full_server_fails() {
    let mut server = Server::start(&HEALTHY).await;
    let _: () = server.say("CONFIG SET maxmemory 1").await;

    let report = examine(patient(&server.url(""))).await;

    assert_fails(&report, &["memory", "writes"]);
}

#[tokio::test]
async fn a_read_only_replica_fails() {
    let master = Server::start(&HEALTHY).await;
    let mut replica = Server::start(&HEALTHY).await;
    let _: () = replica.say(&format!("REPLICAOF 127.0.0.1 {}", master.port)).await;

    let report = examine(patient(&replica.url(""))).await;

    let replicas = finding(&report, "replicas");
    assert_eq!(replicas.verdict, Verdict::Fail);
    assert!(replicas.found.contains("read-only"), "{}", replicas.found);
    assert_eq!(finding(&report, "writes").verdict, Verdict::Fail);
}

#[tokio::test]
async fn a_wrong_password_fails_and_is_not_shown() {
    let mut server = Server::start(&HEALTHY).await;
    let _: () = server.say("CONFIG SET requirepass right").await;

    for login in [":wr0ng@", "nobody:wr0ng@", ""] {
        let report = examine(patient(&server.url(login))).await;

        assert_fails(&report, &["connection"]);
        assert!(report.to_string().contains("password refused"), "\n{report}");
        assert!(!report.to_string().contains("wr0ng"), "\n{report}");
    }
    assert!(!examine(patient(&server.url(":right@"))).await.failed());
}

#[tokio::test]
async fn a_refused_login_command_does_not_give_the_password_away() {
    // An unknown command is quoted back by Redis with its arguments.
    let server = Server::start(&["--rename-command", "AUTH", "", "--rename-command", "HELLO", ""]);
    let server = server.await;

    for protocol in ["", "/?protocol=resp3"] {
        let report = examine(patient(&format!("{}{protocol}", server.url(":wr0ng@")))).await;

        assert_fails(&report, &["connection"]);
        assert!(!report.to_string().contains("wr0ng"), "\n{report}");
    }
}

#[tokio::test]
async fn nothing_listening_fails_at_once_and_the_rest_is_skipped() {
    let begun = Instant::now();

    let report = examine(patient(&format!("redis://127.0.0.1:{}", free_port()))).await;

    assert_fails(&report, &["connection"]);
    assert_eq!(report.findings.len(), 1);
    assert!(begun.elapsed() < TIMEOUT / 2);
}

#[tokio::test]
async fn a_server_that_never_answers_fails_within_the_timeout() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", deaf.local_addr().unwrap());
    let begun = Instant::now();

    let report = examine(Patient { timeout: Duration::from_millis(100), ..patient(&url) }).await;

    assert_fails(&report, &["connection"]);
    assert!(report.to_string().contains("no answer within 100ms"), "\n{report}");
    assert!(begun.elapsed() < TIMEOUT);
}

#[test]
fn the_table_is_aligned_and_keeps_to_one_line_a_finding() {
    let findings = vec![
        Finding::ok("version", "7.0.15"),
        Finding::fail("eviction", "all\r\nkeys\x1b[0m", "set it"),
    ];
    assert_eq!(
        Report { findings }.to_string(),
        "ok    version      7.0.15\n\
         fail  eviction     all  keys [0m\n                   set it\n"
    );
}

#[track_caller]
fn check(finding: Finding, verdict: Verdict, found: &str) {
    assert_eq!((finding.verdict, finding.found.as_str()), (verdict, found));
}

#[test]
fn versions_from_7_0_and_every_valkey_will_do() {
    let version = |info: &str| server::version(&Facts::told(info, &[]));
    check(version("redis_version:7.0.15\r\n"), Verdict::Ok, "7.0.15");
    check(version("redis_version:10.1"), Verdict::Ok, "10.1");
    check(version("redis_version:6.2.14"), Verdict::Fail, "6.2.14");
    check(
        version("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1"),
        Verdict::Ok,
        "Valkey 8.0.1",
    );
    assert_eq!(version("").verdict, Verdict::Warn);
}

#[test]
fn only_an_append_only_file_that_is_synced_and_written_is_good_persistence() {
    let verdict =
        |info, settings: &[_]| durability::persistence(&Facts::told(info, settings)).verdict;
    let on = "aof_enabled:1\r\naof_last_write_status:ok\r\n";
    assert_eq!(verdict(on, &[("appendfsync", "always")]), Verdict::Ok);
    assert_eq!(verdict(on, &[("appendfsync", "no")]), Verdict::Warn);
    assert_eq!(verdict(on, &[]), Verdict::Warn);
    let broken = "aof_enabled:1\r\naof_last_write_status:err\r\n";
    assert_eq!(verdict(broken, &[("appendfsync", "always")]), Verdict::Fail);

    let off = "aof_enabled:0\r\nrdb_last_bgsave_status:ok\r\n";
    assert_eq!(verdict(off, &[("save", "3600 1")]), Verdict::Warn);
    assert_eq!(verdict(off, &[("save", "")]), Verdict::Fail);
    assert_eq!(verdict(off, &[]), Verdict::Warn);
    let unsaved = "aof_enabled:0\r\nrdb_last_bgsave_status:err\r\n";
    assert_eq!(verdict(unsaved, &[("save", "3600 1")]), Verdict::Fail);
}

#[test]
fn only_replicas_that_are_online_count() {
    const INFO: &str = "role:master\r\nconnected_slaves:2\r\n\
        slave0:ip=10.0.0.2,port=6379,state=online,offset=9,lag=0\r\n\
        slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
        min_slaves_good_slaves:1\r\n";
    let verdict =
        |wait, settings: &[_]| durability::replicas(&Facts::told(INFO, settings), wait).verdict;
    assert_eq!(verdict(0, &[]), Verdict::Warn);
    assert_eq!(verdict(1, &[]), Verdict::Ok);
    assert_eq!(verdict(2, &[]), Verdict::Fail);
    assert_eq!(verdict(1, &[("min-replicas-to-write", "1")]), Verdict::Ok);
    assert_eq!(verdict(1, &[("min-replicas-to-write", "2")]), Verdict::Fail);

    let sentinel = Facts::told("redis_mode:sentinel", &[]);
    assert_eq!(durability::replicas(&sentinel, 0).verdict, Verdict::Fail);
}
