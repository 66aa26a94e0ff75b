//! A record that cannot be read, of a later release or changed by hand, keeps nobody from the others.

use crate::resolve::{answering, asking, until_state};
use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::sidecar::sidecar;
use crate::support::until;
use crate::support::upstream::{Act, Upstream};
use onceward::model::identity::Order;
use onceward::model::key::Key;
use onceward::store::names::Names;
use serde_json::Value;

/// Writes records no script can read, one of them of no kind it knows, each kept for `ms`, and puts
/// them into an index. KEYS index, ARGV the names before their number, score, ms, how many.
const UNREAD: &str = "
for n = 1, ARGV[4] do
  local name = ARGV[1] .. 'later' .. n
  if n == 1 then redis.call('RPUSH', name, 'by hand') else redis.call('SET', name, '4 of a later release') end
  redis.call('PEXPIRE', name, ARGV[3])
  redis.call('ZADD', KEYS[1], ARGV[2], 'later' .. n)
end";

/// The order of that key on the route `pay`.
fn order(key: &str) -> Order {
    Order::new("pay".into(), "", Key::from_text(key).unwrap())
}

fn write_unread(redis: &Redis, beside: &Order, index: &str, (score, ms, count): (u64, u64, u64)) {
    let prefix = Names::new("onceward").of(beside.partition, "order", "");
    let numbers = [score, ms, count].map(|number| number.to_string());
    let [score, ms, count] = numbers.each_ref().map(String::as_str);
    redis.command(&["EVAL", UNREAD, "1", index, &prefix, score, ms, count]);
}

#[test]
fn orders_whose_holder_was_killed_are_found_behind_records_that_cannot_be_read() {
    // More than one look takes.
    const UNREAD: u64 = 150;
    let redis = Redis::start();
    let upstream = answering(|| Act::Silence, |_| Act::ok(r#"{"status":"paid"}"#));
    let mut a = asking(&redis, &upstream).start();
    let cut = Call::pay("1").begin(a.address);
    upstream.heard(1);
    a.kill();
    drop(cut);
    let due = Names::new("onceward").due(order("1").partition).to_owned();
    write_unread(&redis, &order("1"), &due, (1, 600_000, UNREAD));
    let b = asking(&redis, &upstream).start();
    until_state(&b, "1", "succeeded");
    assert_eq!(b.metric("onceward_lost_leases_total"), 1.0);
    // Nor do they keep the rest from being counted.
    b.counts(r#"onceward_orders{state="in_flight"}"#, UNREAD as f64);
    // All of them are met at every look by now, and the log tells of those that are new.
    let declined = || b.metric(r#"onceward_redis_errors_total{kind="declined"}"#);
    let before = declined();
    until("they were met again, twice", || declined() >= before + 2.0 * UNREAD as f64);
    let told = b.log().matches("an order could not be looked at").count();
    assert!((1..=3).contains(&told), "{told}");
}

#[test]
fn what_needs_a_person_is_listed_without_the_records_that_cannot_be_read() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let onceward =
        sidecar(&redis, &upstream).set("ROUTES", r#"[{"name": "pay", "path": "/pay"}]"#).start();
    assert_eq!(Call::pay("1").send(onceward.address).state(), "unknown");
    let unknown = Names::new("onceward").unknown(order("1").partition).to_owned();
    write_unread(&redis, &order("1"), &unknown, (1, 600_000, 3));
    for path in ["/admin/attention/unknown", "/admin/orders?state=unknown"] {
        let list = Call::get(path).send(onceward.admin);
        assert_eq!(list.status, 200, "{path}");
        let list = list.json();
        let keys: Vec<_> = list["orders"].as_array().unwrap().iter().map(|o| &o["key"]).collect();
        assert_eq!(keys, ["1"], "{path}");
    }
    onceward.logs("is left out of a list");
}

#[test]
fn an_order_is_not_forgotten_without_an_alarm_beside_one_that_cannot_be_read() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let onceward =
        sidecar(&redis, &upstream).set("ROUTES", r#"[{"name": "pay", "path": "/pay"}]"#).start();
    assert_eq!(Call::pay("1").send(onceward.address).state(), "unknown");
    let (names, order) = (Names::new("onceward"), order("1"));
    let unknown = names.unknown(order.partition);
    // Unknown for days, and all are about to be forgotten, those first.
    redis.command(&["ZINCRBY", unknown, "-300000000", &order.id]);
    write_unread(&redis, &order, unknown, (1, 100_000, 3));
    redis.command(&["PEXPIRE", &names.record(&order), "600000"]);
    let alarms = || Call::get("/admin/attention/alarms").send(onceward.admin).json();
    until("somebody is called about it, by its name", || {
        alarms()["alarms"].as_array().unwrap().iter().any(|alarm| alarm["key"] == "1")
    });
    until("and about those without one", || {
        alarms()["alarms"].as_array().unwrap().iter().any(|alarm| alarm["key"] == Value::Null)
    });
    onceward.logs("that cannot be read is about to be forgotten");
}
