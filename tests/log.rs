//! The log: no payment waits for whoever should read it.

use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::upstream::{Act, Upstream};
use crate::support::{Refusing, until};
use std::io::BufRead;

/// More than a pipe holds; the sidecar's queue holds some times as much.
const FLOOD: usize = 600;

/// What a sidecar says of a payment that it could not send.
const WARNING: &str = "upstream cannot be reached";

/// A sidecar in front of nobody: each payment is a line in its log.
fn warning(redis: &Redis, refusing: &Refusing) -> Builder {
    let upstream = Upstream::start();
    sidecar(redis, &upstream).set("UPSTREAM", &refusing.url())
}

/// Sends payments, each of which is warned of, and reads all answers.
fn flood(onceward: &Sidecar, payments: usize) {
    const AT_ONCE: usize = 8;
    let address = onceward.address;
    let pay = move |n: usize| {
        let reply = Call::pay(&n.to_string()).send(address);
        assert_eq!((reply.status, reply.problem().as_str()), (502, "upstream-unreachable"));
    };
    let threads = (0..AT_ONCE).map(|thread| {
        std::thread::spawn(move || (thread..payments).step_by(AT_ONCE).for_each(pay))
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().expect("answered"));
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody_and_what_is_lost_is_told() {
    let (redis, refusing) = (Redis::start(), Refusing::bind());
    let (mut onceward, unread) = warning(&redis, &refusing).start_unread();
    let mut warned_of = 0;
    until("lines are lost", || {
        flood(&onceward, FLOOD);
        warned_of += FLOOD;
        onceward.metric("onceward_log_lines_lost_total") > 0.0
    });
    assert_eq!(Call::get("/livez").send(onceward.admin).status, 200);
    let lost = onceward.metric("onceward_log_lines_lost_total");

    // Somebody reads at last.
    let reading = std::thread::spawn(move || {
        let lines = unread.lines().map_while(Result::ok);
        lines.map(|line| serde_json::from_str(&line).expect("a line is whole")).collect()
    });
    onceward.terminate();
    assert!(onceward.ended().success());
    let lines: Vec<serde_json::Value> = reading.join().expect("no panic inside");
    let with = |text: &'static str| lines.iter().filter(move |line| line["message"] == text);
    let told = with("log lines were lost: nobody took them in time");
    assert_eq!(told.map(|line| line["lines"].as_f64().unwrap_or_default()).sum::<f64>(), lost);
    assert_eq!(with(WARNING).count() as f64 + lost, warned_of as f64);
    assert_eq!(lines.last().expect("lines")["message"], "drained");
}

#[test]
fn a_sidecar_whose_log_nobody_reads_ends_all_the_same() {
    let (redis, refusing) = (Redis::start(), Refusing::bind());
    let (mut onceward, _unread) = warning(&redis, &refusing).start_unread();
    flood(&onceward, FLOOD);
    onceward.terminate();
    assert!(onceward.ended().success());
}

#[test]
fn a_log_that_is_closed_stops_nothing() {
    let (redis, refusing) = (Redis::start(), Refusing::bind());
    let (mut onceward, unread) = warning(&redis, &refusing).start_unread();
    drop(unread);
    flood(&onceward, 10);
    until("its lines are counted", || onceward.metric("onceward_log_lines_lost_total") >= 10.0);
    onceward.terminate();
    assert!(onceward.ended().success());
}

#[test]
fn the_last_word_of_a_sidecar_that_is_ended_twice_is_written() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Silence));
    let mut onceward = sidecar(&redis, &upstream).start();
    let _hung = Call::pay("1").begin(onceward.address);
    upstream.heard(1);
    onceward.terminate();
    onceward.logs("draining");
    // Two signals within a second are one wish.
    until("it ends at once", || {
        let has_ended = onceward.has_ended();
        if !has_ended {
            onceward.terminate();
        }
        has_ended
    });
    assert_eq!(onceward.ended().code(), Some(1));
    onceward.logs("a second signal: ending at once");
}
