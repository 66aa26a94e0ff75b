//! A user who may do its work and nothing else, a password that changes, a unix socket.

use crate::lua::bench::Bench;
use crate::lua::tour;
use crate::resolve::{answering, routes, until_state};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::until;
use crate::support::upstream::{Act, Upstream};

pub const README: &str = include_str!("../../README.md");

/// The user as the README sets it up, in one namespace.
pub fn user(namespace: &str, password: &str) -> Vec<String> {
    let rule = README
        .lines()
        .skip_while(|line| !line.starts_with("ACL SETUSER onceward "))
        .take_while(|line| !line.starts_with("```"));
    let rule = rule.collect::<Vec<_>>().join(" ").replace('\\', " ");
    assert!(rule.contains(" >password ~onceward:* &onceward:* "), "{rule}");
    let rule = rule
        .replace(">password", &format!(">{password}"))
        .replace("onceward:*", &format!("{namespace}:*"));
    rule.split_whitespace().map(str::to_owned).collect()
}

pub fn set_up(redis: &Redis, namespace: &str, password: &str) {
    let rule = user(namespace, password);
    let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
    assert_eq!(redis.command(&rule), "OK");
    redis.command(&["ACL", "LOG", "RESET"]);
}

fn url(redis: &Redis, password: &str) -> String {
    format!("redis://onceward:{password}@127.0.0.1:{}", redis.port)
}

/// What a user was refused; the doctor's dry runs are not.
pub fn refusals(redis: &Redis) -> String {
    redis.command(&["ACL", "LOG"])
}

pub fn until_paid(onceward: &Sidecar, key: &str) -> Reply {
    let mut reply = None;
    until("service resumes", || {
        let answer = Call::pay(key).send(onceward.address);
        let paid = answer.status == 200;
        reply = Some(answer);
        paid
    });
    reply.unwrap()
}

#[tokio::test]
async fn the_user_of_the_readme_may_run_every_script_to_every_reply() {
    let redis = Redis::start();
    set_up(&redis, crate::lua::bench::NAMESPACE, "s3cret");
    let url = url(&redis, "s3cret");
    let bench = Bench::through(redis, &url).moving();
    tour::every_reply(&bench).await;
    assert_eq!(refusals(&bench.redis), "");
}

#[test]
fn the_user_of_the_readme_may_do_all_that_a_sidecar_does() {
    let redis = Redis::start_with(&["--appendonly", "yes", "--maxmemory", "64mb"]);
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &redis.port.to_string()]);
    until("the replica follows", || {
        redis.command(&["INFO", "replication"]).contains("state=online")
    });
    set_up(&redis, "onceward", "s3cret");
    let upstream =
        answering(|| Act::ok(r#"{"status":"paying"}"#), |_| Act::ok(r#"{"status":"paid"}"#));
    let builder = sidecar(&redis, &upstream)
        .set("REDIS_URL", &url(&redis, "s3cret"))
        .set("REDIS_WAIT_REPLICAS", "1")
        .set("REDIS_WAIT_TIMEOUT", "2s")
        .set(
            "ROUTES",
            &routes(|route| {
                route["token"] = "optional".into();
                route["mode"] = "either".into();
            }),
        );
    let onceward = builder.start();
    let token = Call::post("/_onceward/tokens").json(r#"{"route":"pay"}"#).send(onceward.address);
    let token = token.json()["token"].as_str().unwrap().to_owned();
    // A replica that is online may still be loading what it was sent.
    until("a payment is sent", || {
        Call::pay("1").header("Payment-Token", &token).send(onceward.address).status == 200
    });
    until_state(&onceward, "1", "succeeded");
    let later = Call::pay("2").header("Prefer", "respond-async").send(onceward.address);
    assert_eq!(later.status, 202, "{}", later.text());
    until_state(&onceward, "2", "succeeded");
    Call::post("/_onceward/orders/pay/3/cancel").send(onceward.address);
    assert_eq!(Call::get("/readyz").send(onceward.admin).status, 200);
    let listed = Call::get("/admin/orders").send(onceward.admin).json();
    assert_eq!(listed["orders"].as_array().unwrap().len(), 3, "{listed}");
    until("it listens", || {
        redis
            .command(&["CLIENT", "LIST"])
            .lines()
            .any(|line| line.contains(" sub=2 ") && line.contains(" user=onceward "))
    });
    assert_eq!(refusals(&redis), "");

    let doctor = builder.command().arg("doctor").output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    for line in said.lines().filter(|line| !line.starts_with(' ')) {
        assert!(!line.starts_with("fail"), "{said}");
    }
    assert!(said.lines().any(|line| line.starts_with("ok    permissions")), "{said}");
    drop(replica);
}

#[test]
fn the_user_of_the_readme_may_do_nothing_else() {
    let redis = Redis::start();
    set_up(&redis, "onceward", "s3cret");
    redis.command(&["SET", "other:{p00}:order:1", "x"]);
    let mine = "onceward:{p00}:order:1";
    let foreign = "other:{p00}:order:1";
    let refused = |call: &[&str]| {
        let dry_run = [&["ACL", "DRYRUN", "onceward"][..], call].concat();
        redis.command(&dry_run)
    };
    assert_eq!(refused(&["HGETALL", mine]), "OK");
    for call in [
        &["HGETALL", foreign][..],
        &["DEL", foreign],
        &["EVAL", "return 1", "1", foreign],
        &["PUBLISH", "other:settled", "1"],
        &["SUBSCRIBE", "other:settled"],
        &["KEYS", "*"],
        &["FLUSHALL"],
        &["FLUSHDB"],
        &["CONFIG", "SET", "maxmemory", "1"],
        &["CONFIG", "GET", "*"],
        &["SCRIPT", "FLUSH"],
        &["ACL", "LIST"],
        &["SHUTDOWN"],
        &["REPLICAOF", "NO", "ONE"],
        &["DEBUG", "SLEEP", "0"],
        &["MONITOR"],
        &["CLIENT", "KILL", "TYPE", "normal"],
    ] {
        let said = refused(call);
        assert!(
            said.contains("has no permissions") || said.contains("no permissions"),
            "{call:?}: {said}"
        );
    }
    // What a script touches is its user's business too, whatever it declares.
    let mut connection =
        redis::Client::open(url(&redis, "s3cret")).unwrap().get_connection().unwrap();
    let reads = format!("return redis.call('GET', '{foreign}')");
    let said = redis::cmd("EVAL").arg(reads).arg(0).query::<String>(&mut connection);
    let said = said.unwrap_err().to_string();
    assert!(said.contains("can't access at least one of the keys"), "{said}");
}

#[test]
fn the_list_of_the_readme_and_the_doctors_are_the_same() {
    let doctor = include_str!("../../src/doctor/checks/permissions.rs");
    let mut asked: Vec<String> = doctor
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\"")?.split_once("\", vec!["))
        .map(|(name, _)| format!("+{}", name.to_lowercase().replace(' ', "|")))
        .collect();
    let mut given = user("onceward", "x");
    given.retain(|word| word.starts_with('+'));
    asked.sort();
    given.sort();
    assert_eq!(asked, given, "the doctor on the left, the README on the right");
}

#[test]
fn a_password_changes_without_a_restart() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    set_up(&redis, "onceward", "first");
    std::fs::write(&file, url(&redis, "first")).unwrap();
    let onceward = nowhere(&upstream)
        .set("REDIS_URL_FILE", file.to_str().unwrap())
        .set("DUPLICATE_WAIT", "0s")
        .start();
    assert_eq!(until_paid(&onceward, "1").status, 200);

    redis.command(&["ACL", "SETUSER", "onceward", "resetpass", ">second"]);
    redis.command(&["CLIENT", "KILL", "USER", "onceward"]);
    let refused = Call::pay("2").send(onceward.address);
    assert_eq!((refused.status, refused.problem().as_str()), (503, "store-unavailable"));
    assert_eq!(upstream.calls(), 1);

    // A file that makes no sense is told of and changes nothing.
    std::fs::write(&file, "not a URL, s3cret").unwrap();
    until("somebody is told", || onceward.log().contains("it stays as it was"));
    std::fs::write(&file, url(&redis, "second")).unwrap();
    until_paid(&onceward, "2");
    assert!(until_paid(&onceward, "1").is_replay());
    assert_eq!(upstream.calls(), 2);
    until("it listens again", || redis.command(&["CLIENT", "LIST"]).contains(" sub=2 "));
    let log = onceward.log();
    for secret in ["first", "second", "s3cret"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_refused_database_is_told_from_a_refused_password() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    set_up(&redis, "onceward", "s3cret");
    let reason = |url: &str| {
        let onceward = nowhere(&upstream).set("REDIS_URL", url).start();
        let ready = Call::get("/readyz").send(onceward.admin);
        assert_eq!(ready.status, 503, "{}", ready.text());
        ready.json()["reasons"][0].as_str().unwrap().to_owned()
    };
    let right = format!("{}/99", url(&redis, "s3cret"));
    assert!(reason(&right).contains("refused the database"), "{}", reason(&right));
    let wrong = format!("{}/99", url(&redis, "guessed"));
    assert!(reason(&wrong).contains("authentication failed"), "{}", reason(&wrong));
}

#[test]
fn a_unix_socket_will_do_and_its_login_stands_in_its_query() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let socket = socket.to_str().unwrap();
    let (redis, upstream) = (Redis::start_with(&["--unixsocket", socket]), Upstream::start());
    set_up(&redis, "onceward", "s3cret");
    let url = format!("unix://{socket}?user=onceward&pass=s3cret");
    let builder = nowhere(&upstream).set("REDIS_URL", &url);
    let onceward = builder.start();
    until_paid(&onceward, "1");
    assert!(until_paid(&onceward, "1").is_replay());
    assert!(redis.command(&["CLIENT", "LIST"]).contains(socket));
    assert_eq!(refusals(&redis), "");
    let check = builder.command().arg("check").output().unwrap();
    assert!(!String::from_utf8(check.stdout).unwrap().contains("s3cret"));
}

/// A sidecar whose Redis is still to be named.
pub fn nowhere(upstream: &Upstream) -> Builder {
    Builder::default()
        .set("UPSTREAM", &upstream.url())
        .set("REDIS_TIMEOUT", "5s")
        .set("UPSTREAM_CONNECT_TIMEOUT", "10s")
}
