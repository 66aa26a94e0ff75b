//! All of an order is in one slot: every script runs where a Cluster checks it.

use crate::lua::bench::{Bench, place};
use crate::lua::header::SOURCES;
use crate::lua::tour;
use crate::support::PATIENCE;
use crate::support::redis::Redis;
use onceward::store::StoreError;
use onceward::store::link::{Link, Mode};
use std::collections::BTreeSet;

/// A Cluster of one node that has every slot: it checks keys like any other.
fn alone() -> Redis {
    let bus = crate::support::free_port().to_string();
    let redis = Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    assert_eq!(redis.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "OK");
    crate::support::until("it serves", || {
        redis.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
    });
    redis
}

#[tokio::test]
async fn no_script_crosses_slots() {
    let redis = alone();
    redis.command(&["CONFIG", "SET", "slowlog-max-len", "10000"]);
    redis.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    let url = redis.url();
    let place = place(Mode::Cluster, &url);
    let link = Link::new(place.clone(), PATIENCE);
    let bench = Bench::at(redis, place).moving();
    let seen = tour::every_reply(&bench).await;
    let ran: BTreeSet<_> = seen.into_iter().map(|(script, _)| script).collect();
    assert_eq!(ran, SOURCES.iter().map(|(script, _)| *script).collect());
    let errors = bench.redis.command(&["INFO", "errorstats"]);
    assert!(!errors.contains("CROSSSLOT"), "{errors}");

    // And by their names: the keys of a call share one hash tag.
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_connection().unwrap();
    type Entry = (u64, u64, u64, Vec<Vec<u8>>, String, String);
    let mut entries = redis::cmd("SLOWLOG");
    let entries: Vec<Entry> = entries.arg("GET").arg(-1).query(&mut connection).unwrap();
    let mut calls = 0;
    for (_, _, _, words, _, _) in entries {
        let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        if !words[0].starts_with("EVAL") {
            continue;
        }
        let count: usize = words[2].parse().unwrap();
        let tags: BTreeSet<_> = words[3..3 + count]
            .iter()
            .map(|key| key.split(['{', '}']).nth(1).expect("a hash tag"))
            .collect();
        assert_eq!(tags.len(), 1, "{words:?}");
        calls += 1;
    }
    assert!(calls > SOURCES.len(), "{calls} calls were seen");

    // This ground would tell: a script that does cross slots is refused.
    let mut crossing = redis::cmd("EVAL");
    crossing.arg("#!lua\nreturn 1").arg(2).arg("x:{p00}:a:a").arg("x:{p01}:a:a");
    let said = link.send(&crossing).await;
    assert!(matches!(&said, Err(StoreError::Declined(word)) if word == "CROSSSLOT"), "{said:?}");
}

#[tokio::test]
async fn every_partition_is_where_redis_says() {
    let redis = alone();
    for partition in onceward::model::identity::Partition::all() {
        let key = format!("x:{{{partition}}}:a:a");
        let slot = redis.command(&["CLUSTER", "KEYSLOT", &key]);
        assert_eq!(onceward::store::link::slot(partition).to_string(), slot);
    }
}
