//! TLS to Redis: who signed it is checked, and who we are is shown where that is asked for.

use super::login::{nowhere, until_paid};
use crate::support::certificates::Authority;
use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::sidecar::Sidecar;
use crate::support::upstream::Upstream;
use crate::support::{free_port, until};

const HOST: &str = "127.0.0.1";

/// A redis-server with a TLS port beside the plain one, which is for the tests.
struct Secured {
    redis: Redis,
    port: u16,
}

impl Secured {
    /// `clients` is whether certificates are asked for: yes or no.
    fn start(authority: &Authority, host: &str, clients: &str) -> Secured {
        let (certificate, key) = authority.sign(host);
        let port = free_port();
        let redis = Redis::start_with(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &authority.file(),
            "--tls-auth-clients",
            clients,
        ]);
        Secured { redis, port }
    }

    fn url(&self) -> String {
        format!("rediss://{HOST}:{}", self.port)
    }
}

fn check_refused(onceward: &Sidecar) {
    let refused = Call::pay("1").send(onceward.address);
    assert_eq!((refused.status, refused.problem().as_str()), (503, "store-unavailable"));
}

#[test]
fn a_server_signed_by_the_named_authority_is_believed_and_no_other() {
    let (authority, stranger, upstream) = (Authority::new(), Authority::new(), Upstream::start());
    let server = Secured::start(&authority, HOST, "no");
    let replica = Redis::start_with(&["--replicaof", HOST, &server.redis.port.to_string()]);
    until("the replica follows", || {
        server.redis.command(&["INFO", "replication"]).contains("state=online")
    });
    let build = nowhere(&upstream).set("REDIS_URL", &server.url()).set("REDIS_WAIT_TIMEOUT", "2s");
    // Nobody in the system's list has signed it.
    check_refused(&build.start());
    check_refused(&build.clone().set("REDIS_CA_FILE", &stranger.file()).start());
    assert_eq!(upstream.calls(), 0);

    let known = build.set("REDIS_CA_FILE", &authority.file());
    let onceward = known.clone().set("REDIS_WAIT_REPLICAS", "1").start();
    until_paid(&onceward, "1");
    assert!(until_paid(&onceward, "1").is_replay());
    assert!(server.redis.calls("wait") >= 1);
    until("it listens", || server.redis.command(&["CLIENT", "LIST"]).contains(" sub=2 "));
    let doctor = known.command().arg("doctor").output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(said.starts_with("ok    connection"), "{said}");
    drop(replica);
}

#[test]
fn a_server_by_another_name_is_not_believed() {
    let (authority, upstream) = (Authority::new(), Upstream::start());
    let server = Secured::start(&authority, "redis.elsewhere", "no");
    let build = nowhere(&upstream).set("REDIS_CA_FILE", &authority.file());
    check_refused(&build.set("REDIS_URL", &server.url()).start());
}

#[test]
fn a_server_that_asks_who_we_are_is_told_and_new_certificates_need_no_restart() {
    let (authority, stranger, upstream) = (Authority::new(), Authority::new(), Upstream::start());
    let server = Secured::start(&authority, HOST, "yes");
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let hand_over = |(signed, secret): (String, String)| {
        std::fs::copy(signed, &certificate).unwrap();
        std::fs::copy(secret, &key).unwrap();
    };
    hand_over(stranger.sign("onceward"));
    let build =
        nowhere(&upstream).set("REDIS_URL", &server.url()).set("REDIS_CA_FILE", &authority.file());
    check_refused(&build.start());
    let onceward = build
        .set("REDIS_CERT_FILE", certificate.to_str().unwrap())
        .set("REDIS_KEY_FILE", key.to_str().unwrap())
        .start();
    check_refused(&onceward);
    assert_eq!(upstream.calls(), 0);
    hand_over(authority.sign("onceward"));
    until_paid(&onceward, "1");
}

#[test]
fn a_refused_database_is_named_over_tls_too() {
    let (authority, upstream) = (Authority::new(), Upstream::start());
    let server = Secured::start(&authority, HOST, "no");
    let build = nowhere(&upstream).set("REDIS_CA_FILE", &authority.file());
    let onceward = build.set("REDIS_URL", &format!("{}/99", server.url())).start();
    let ready = Call::get("/readyz").send(onceward.admin);
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("refused the database"), "{}", ready.text());
}
