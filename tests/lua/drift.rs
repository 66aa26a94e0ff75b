//! A header is a contract: held against its body, against Rust, and against what goes over the wire.

use super::bench::{
    ASK, BY, Bench, CALLER, DEADLINE, FINAL, GOOD, HOLD, IDLE, KEEP, LEASE, NAMESPACE, PAYLOAD,
    SILENT, STATE, UNCHANGED, spent,
};
use super::header::{Header, SOURCES, matched, numbers, replies};
use super::tour;
use onceward::model::order::State::{self, Succeeded};
use onceward::store::script;
use onceward::store::server::PING_TTL;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The Rust side, as it is written.
const RUST: [&str; 12] = [
    include_str!("../../src/store/callbacks.rs"),
    include_str!("../../src/store/cancel.rs"),
    include_str!("../../src/store/conclude.rs"),
    include_str!("../../src/store/history.rs"),
    include_str!("../../src/store/orders.rs"),
    include_str!("../../src/store/queue.rs"),
    include_str!("../../src/store/record.rs"),
    include_str!("../../src/store/resolve.rs"),
    include_str!("../../src/store/restore.rs"),
    include_str!("../../src/store/server.rs"),
    include_str!("../../src/store/survey.rs"),
    include_str!("../../src/store/tokens.rs"),
];

#[test]
fn every_file_is_a_script_and_no_script_is_without_a_file() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/lua");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".lua").unwrap().to_owned()
    });
    let files: BTreeSet<_> = files.filter(|name| name != "common").collect();
    let scripts: BTreeSet<_> = script::all().iter().map(|s| s.name.to_owned()).collect();
    let read: BTreeSet<_> = SOURCES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, scripts);
    assert_eq!(files, read);
}

#[test]
fn a_header_lists_the_keys_and_arguments_its_body_reads() {
    for (script, source) in SOURCES {
        let header = Header::of(script);
        let all = |listed: &[String]| (1..=listed.len()).collect::<Vec<_>>();
        assert_eq!(numbers(source, "KEYS"), all(&header.keys), "{script}");
        assert_eq!(numbers(source, "ARGV"), all(&header.arguments), "{script}");
        assert!(!header.keys.is_empty(), "{script}");
    }
}

#[test]
fn a_body_gives_exactly_the_replies_its_header_lists() {
    for (script, source) in SOURCES {
        let written: BTreeSet<_> = replies(source).into_iter().collect();
        let listed: BTreeSet<_> = Header::of(script).replies.into_iter().collect();
        assert_eq!(written, listed, "{script}");
    }
}

#[test]
fn rust_tells_apart_exactly_the_words_a_header_lists() {
    let rust = RUST.concat();
    for (script, _) in SOURCES {
        let known: BTreeSet<_> = matched(script, &rust).into_iter().collect();
        let listed: BTreeSet<_> = Header::of(script).replies.into_keys().collect();
        assert_eq!(known, listed, "{script}");
    }
}

#[tokio::test]
async fn every_reply_a_header_lists_is_given() {
    let given = tour::every_reply(&Bench::new().moving()).await;
    let given: BTreeSet<_> =
        given.into_iter().map(|(script, word)| (script, word.to_owned())).collect();
    let listed = SOURCES.iter().flat_map(|(script, _)| {
        let words = Header::of(script).replies.into_keys();
        words.map(|word| (*script, word))
    });
    assert_eq!(given, listed.collect());
}

/// A script call as Redis saw it.
struct Call {
    keys: Vec<String>,
    arguments: Vec<String>,
}

/// The calls in Redis' slow log, oldest first: everything is slow to it here.
fn calls(bench: &Bench) -> Vec<Call> {
    let client = redis::Client::open(bench.redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    type Entry = (u64, u64, u64, Vec<Vec<u8>>, String, String);
    let mut entries = redis::cmd("SLOWLOG");
    let entries: Vec<Entry> = entries.arg("GET").arg(-1).query(&mut connection).unwrap();
    let mut calls = Vec::new();
    for (_, _, _, command, _, _) in entries.into_iter().rev() {
        let words = command.iter().map(|w| String::from_utf8_lossy(w).into_owned());
        let mut words: Vec<_> = words.collect();
        if words[0] != "EVALSHA" {
            continue;
        }
        let count: usize = words[2].parse().unwrap();
        let arguments = words.split_off(3 + count);
        let keys = words.split_off(3);
        calls.push(Call { keys, arguments });
    }
    calls
}

/// From now on Redis writes down every command.
fn watch(bench: &Bench) {
    bench.redis.command(&["CONFIG", "SET", "slowlog-max-len", "1000"]);
    bench.redis.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    bench.redis.command(&["SLOWLOG", "RESET"]);
}

#[tokio::test]
async fn rust_sends_what_a_header_lists_in_its_order() {
    let bench = Bench::new().moving();
    // Every script is loaded before one is watched.
    tour::every_reply(&bench).await;
    bench.redis.command(&["FLUSHDB"]);
    watch(&bench);
    let token = bench.token().await;
    let free = bench.free_token().await;
    let until = bench.bind(&free, CALLER, &bench.order).await.unwrap();
    let ask = bench.ask("A").token(spent(&free, until));
    ask.claim().await;
    bench.renew("A", 1).await;
    bench.lapse(Some(1)).await;
    bench.settle("A", 1, Succeeded).await;
    bench.abandon_with("A", Some(&spent(&token, 0))).await;
    bench.look().await;
    bench.store.survey(bench.order.partition, 7, 3..=9).await.unwrap();
    // The tour saw the same server.
    let server = bench.store.recall(bench.order.partition, KEEP).await.unwrap().server;
    bench.store.ping_one(bench.order.partition).await.unwrap();
    bench.conclude(Succeeded).await;
    let paid = bench.event("PAID");
    bench.accept(&paid, "A").await;
    bench.acknowledge(&paid, "A", 1).await;
    bench.drop_callback(&paid, "A", 1).await;
    let record = bench.look().await;
    bench.adopt("A", &record).await;
    bench.hold("A", ASK).await;
    bench.resolve("A", Some(1), Succeeded).await;
    bench.release("A", Some(1)).await;
    bench.cancel(Some(CALLER), true).await;
    bench.restore("A", 1, Succeeded).await;

    bench.redis.command(&["FLUSHDB"]);
    let free_again = bench.free_token().await;
    let until_again = bench.bind(&free_again, CALLER, &bench.order).await.unwrap();
    bench.enqueue_with("A", Some(&spent(&free_again, until_again))).await;
    let entry = bench.take(IDLE).await.remove(0);
    bench.store.draft(&entry).await.unwrap();
    bench.dequeue_for(&entry, "A", ASK).await;
    bench.store.put_back(&entry, true).await.unwrap();
    bench.store.dead_letter(&entry, KEEP, "no way out").await.unwrap();

    let calls = calls(&bench);
    let order = [
        "issue_token",
        "issue_token",
        "bind_token",
        "claim",
        "renew",
        "lapse",
        "settle",
        "abandon",
        "look",
        "survey",
        "recall",
        "ping",
        "conclude",
        "accept_callback",
        "settle_callback",
        "drop_callback",
        "look",
        "adopt",
        "hold",
        "resolve",
        "release",
        "cancel",
        "restore",
        "issue_token",
        "bind_token",
        "enqueue",
        "take",
        "draft",
        "dequeue",
        "put_back",
        "dead_letter",
    ];
    assert_eq!(calls.len(), order.len());
    for (script, call) in order.into_iter().zip(calls) {
        check_keys(&bench, script, &call.keys);
        let header = Header::of(script);
        assert_eq!(header.arguments.len(), call.arguments.len(), "{script}");
        let (free, until) = match script {
            "enqueue" => (&free_again, until_again),
            _ => (&free, until),
        };
        let mut expected = expected(&bench, script, free, until);
        expected.insert("entry", vec![entry.name.clone()]);
        expected.insert("seen", vec![server.clone()]);
        if script == "restore" {
            expected.insert("token", vec![String::new()]);
        }
        for (argument, sent) in header.arguments.iter().zip(&call.arguments) {
            let expected = &expected[argument.as_str()];
            assert!(expected.contains(sent), "{script}: {argument} is {sent}");
        }
    }
}

/// Each key is of the kind its header calls it, in the order's partition where it must be.
fn check_keys(bench: &Bench, script: &str, keys: &[String]) {
    let header = Header::of(script);
    assert_eq!(header.keys.len(), keys.len(), "{script}");
    for (listed, name) in header.keys.iter().zip(keys) {
        let kind = match listed.as_str() {
            "record" => "order",
            "queue" | "dead" => "stream",
            listed => listed,
        };
        assert_eq!(name.split(':').nth(2), Some(kind), "{script}: {name}");
        let home = format!("{NAMESPACE}:{{{}}}:", bench.order.partition);
        let alone = script.ends_with("_token");
        assert!(alone || name.starts_with(&home), "{script}: {name}");
    }
}

/// What an argument of that name may be, in any script of this test.
fn expected(
    bench: &Bench,
    script: &str,
    free: &onceward::model::token::Token,
    until: u64,
) -> BTreeMap<&'static str, Vec<String>> {
    let ms = |duration: Duration| duration.as_millis().to_string();
    let text = |text: &str| vec![text.to_owned()];
    let id = &*bench.order.id;
    let keep = match script {
        "settle" | "abandon" | "conclude" | "settle_callback" | "resolve" | "release"
        | "restore" => ms(FINAL),
        "ping" => ms(PING_TTL),
        _ => ms(KEEP),
    };
    let orders = match script {
        // One was issued for its order, one for any.
        "issue_token" => vec![id.to_owned(), String::new()],
        _ => text(id),
    };
    let why = match script {
        "settle" | "resolve" | "release" | "restore" | "cancel" => "upstream said so",
        "dead_letter" => "no way out",
        "conclude" => "a callback said so",
        _ => "nothing was sent",
    };
    let attempt = bench.attempt("A");
    let channel = bench.store.names().settled_channel();
    let left = onceward::model::order::words(Succeeded.entered_from());
    let told = format!("{} 1 succeeded {left} 1 {channel} {BY} upstream said so", attempt.as_str());
    let rows = |state: State| onceward::model::order::words(state.entered_from());
    let from = match script {
        "adopt" => rows(State::Cancelling),
        "release" => rows(State::None),
        "dead_letter" => "queued".to_owned(),
        "resolve" | "conclude" => onceward::model::order::words(&Succeeded.told_from()),
        _ => rows(Succeeded),
    };
    BTreeMap::from([
        ("id", text(id)),
        ("attempt", text(bench.attempt("A").as_str())),
        ("fence", text("1")),
        ("lease_ms", vec![ms(LEASE)]),
        ("keep_ms", vec![keep]),
        ("ttl_ms", vec![ms(GOOD)]),
        ("fingerprints", text(PAYLOAD)),
        ("caller", text(CALLER)),
        ("callers", text(CALLER)),
        ("grant_from", text("none")),
        ("token", text(free.hash())),
        ("token_until", vec![until.to_string()]),
        ("route", text("pay")),
        ("asked", vec![asked(script != "enqueue")]),
        ("answer", text("yes 200 19\nx-channel: alipay\r\npaid")),
        ("begun", text("")),
        ("begun_to", text("0")),
        ("ended", text("yes 200 19\nx-channel: alipay\r\npaid")),
        ("told", vec![told]),
        ("left", text("yes")),
        ("letters", text("no")),
        ("order", orders),
        ("key", text("2024-0001")),
        ("scope", text("tenant")),
        ("by", text(BY)),
        ("to", text("succeeded")),
        ("from", vec![from]),
        ("status", text("200")),
        ("headers", text("x-channel: alipay\r\n")),
        ("body", text("paid")),
        ("channel", vec![bench.store.names().settled_channel().to_owned()]),
        ("why", text(why)),
        ("limit", text("7")),
        ("first", text("3")),
        ("last", text("9")),
        ("unchanged", text(UNCHANGED)),
        ("forward", text("yes")),
        ("trace", text("")),
        ("window_ms", vec![ms(KEEP)]),
        ("turn", text(bench.attempt("A").as_str())),
        ("asks", text("0")),
        ("query_ms", vec![ms(ASK)]),
        ("cancel_ms", vec![ms(ASK * 2)]),
        ("hold_ms", vec![ms(HOLD)]),
        ("wait_ms", vec![ms(ASK)]),
        ("cancel_from", text("0")),
        ("deadline_ms", vec![ms(DEADLINE)]),
        ("confirm", text("yes")),
        ("cancelled_from", text(&rows(State::Cancelled))),
        ("cancelling_from", text(&rows(State::Cancelling))),
        ("idle_ms", vec![ms(IDLE)]),
        ("consumer", text(BY)),
        ("request", text("\0POST /pay\n0\n{}")),
        ("most", text("2")),
        ("hint", vec![bench.store.names().queued_channel().to_owned()]),
        ("partition", vec![bench.order.partition.number().to_string()]),
    ])
}

/// What was asked, packed, as it looks where bytes that are no text are replaced. Of an order that is
/// queued nobody can be asked yet.
fn asked(can_be_asked: bool) -> String {
    let step = format!("open open open {} {}", STATE.as_millis(), SILENT.as_millis());
    let ask = ASK.as_millis().to_string();
    let mut words = vec![
        ("route", "pay"),
        ("key", "2024-0001"),
        ("scope", "tenant"),
        ("caller", CALLER),
        ("ask", &ask),
        ("move", &step),
    ];
    words.retain(|(name, _)| can_be_asked || *name != "ask");
    let mut packed = vec![0x80 | words.len() as u8];
    for text in words.iter().flat_map(|(name, word)| [name, word]) {
        match text.len() {
            length @ ..32 => packed.push(0xa0 | length as u8),
            length => packed.extend([0xd9, length as u8]),
        }
        packed.extend(text.as_bytes());
    }
    format!("asked {}\n{}", packed.len(), String::from_utf8_lossy(&packed))
}

#[test]
fn the_doctor_asks_for_every_command_a_script_calls() {
    let needed = include_str!("../../src/doctor/checks/permissions.rs");
    let common = [("common", include_str!("../../lua/common.lua"))];
    for (script, text) in SOURCES.iter().chain(&common) {
        let calls = ["redis.call('", "redis.pcall('"].map(|call| text.split(call).skip(1));
        for call in calls.into_iter().flatten() {
            let verb = call.split('\'').next().unwrap();
            let asked = needed.contains(&format!("vec![\"{verb}\""));
            assert!(asked, "{script} calls {verb}, which the doctor does not ask for");
        }
    }
}
