//! Provokes every reply of every script, one by one.

use super::bench::{ASK, BY, Bench, CALLER, KEEP, PAYLOAD, answer, found, order, spent};
use onceward::model::order::State::{Cancelled, Failed, InFlight, Queued, Succeeded, Unknown};
use onceward::model::token::Token;
use onceward::store::callbacks::{Accept, Acknowledged, Dropped};
use onceward::store::cancel::Cancel;
use onceward::store::conclude::Conclude;
use onceward::store::orders::{Abandon, Claim, Lapse, Renewal, Settle, Settlement};
use onceward::store::queue::{DeadLetter, Dequeue, Enqueue, Entry, PutBack};
use onceward::store::resolve::{Adopt, Hold, Release, Resolve, Word};
use onceward::store::restore::Restore;
use onceward::store::script;
use std::collections::BTreeSet;
use std::time::Duration;

/// A script and the word it answered with.
pub type Seen = BTreeSet<(&'static str, &'static str)>;

/// Goes through all of them; the words are told from the typed answers. The bench's order has a
/// part in a lifecycle.
pub async fn every_reply(bench: &Bench) -> Seen {
    let mut seen = Seen::new();
    let walks = [
        finished(bench).await,
        lost(bench).await,
        looks(bench).await,
        callbacks(bench).await,
        ended(bench).await,
        queued(bench).await,
        moves(bench).await,
    ];
    for walk in walks {
        seen.extend(walk);
    }
    seen
}

async fn finished(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    let (token, free) = (bench.token().await, bench.free_token().await);
    let wrong = spent(&Token::draw(None).unwrap(), 0);
    let bound = bench.bind(&free, CALLER, &bench.order).await;
    let other = bench.bind(&free, CALLER, &order("other")).await;
    vec![
        ("issue_token", "issued"),
        ("bind_token", bound.map_or("invalid", |_| "bound")),
        ("bind_token", other.map_or("invalid", |_| "bound")),
        claim(bench.ask("A").token(wrong).claim().await),
        settle(bench.settle("A", 1, Succeeded).await),
        abandon(bench.abandon("Z").await),
        claim(bench.claim("Z").await),
        claim(bench.ask("A").token(spent(&token, 0)).claim().await),
        abandon(bench.abandon("A").await),
        claim(bench.claim("B").await),
        claim(bench.claim("C").await),
        claim(bench.ask("C").payload("other").claim().await),
        renew(bench.renew("B", 2).await),
        lapse(bench.lapse(None).await),
        settle(bench.settle("A", 1, Succeeded).await),
        settle(bench.settle("B", 2, Succeeded).await),
        settle(bench.settle("B", 2, Unknown).await),
        abandon(bench.abandon("B").await),
        renew(bench.renew("B", 2).await),
    ]
}

async fn lost(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    bench.lose_record();
    bench.claim("D").await;
    bench.lose_lease();
    let regained = renew(bench.renew("D", 1).await);
    bench.lose_lease();
    bench.lose_record();
    let restored = [
        restore(bench.restore("D", 1, InFlight).await),
        restore(bench.restore("E", 1, InFlight).await),
    ];
    bench.lose_lease();
    let seen = vec![
        restored[0],
        restored[1],
        regained,
        claim(bench.claim("E").await),
        lapse(bench.lapse(Some(1)).await),
        lapse(bench.lapse(Some(1)).await),
    ];
    assert_eq!(found(bench.claim("E").await).0, Unknown);
    bench.settle_with("D", 1, Succeeded, &answer(200, b"")).await;
    seen
}

async fn looks(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    let mut seen = Vec::new();
    for order in [&bench.order, &order("never-seen")] {
        let record = bench.store.look(order).await.unwrap();
        seen.push(("look", record.map_or("absent", |_| "order")));
    }
    let survey = bench.store.survey(bench.order.partition, 10, 0..=9).await;
    seen.push(("survey", survey.map(|_| "survey").unwrap()));
    for _ in 0..2 {
        let recall = bench.store.recall(bench.order.partition, KEEP).await.unwrap();
        seen.push(("recall", if recall.forgot { "forgot" } else { "remembers" }));
    }
    bench.store.ping_one(bench.order.partition).await.unwrap();
    seen.push(("ping", "pong"));
    for left in [&[][..], &["yes"]] {
        seen.push(("claim", raw_duplicate(bench, left).await));
    }
    seen
}

/// How a duplicate of an order that has ended is answered over the wire: its typed answer does not
/// tell.
async fn raw_duplicate(bench: &Bench, left: &[&str]) -> &'static str {
    let order = order("ended");
    let of_order = |who| bench.ask(who).order(order.clone());
    of_order("A").claim().await;
    let paid = answer(200, b"paid");
    let settlement = Settlement {
        order: &order,
        attempt: &bench.attempt("A"),
        fence: 1,
        to: Succeeded,
        keep: KEEP,
        kept: &paid,
        why: "upstream said so",
        begun: None,
    };
    assert_eq!(bench.store.settle(&settlement).await.unwrap(), Settle::Settled);
    let names = bench.store.names();
    let (record, lease, id) = (names.record(&order), names.lease(&order), &*order.id);
    let mut claim = script::CLAIM.by_hash(&[&record, &lease, &record, &record]);
    claim.arg(&[id, "another attempt", "1000", "2000", PAYLOAD, "none", BY, "asked 0\n"]);
    claim.arg(left);
    let client = redis::Client::open(bench.redis.url()).unwrap();
    let reply: redis::Value = claim.query(&mut client.get_connection().unwrap()).unwrap();
    match script::word(&reply) {
        Some(b"done") => "done",
        Some(b"3") => "3",
        word => panic!("{word:?}"),
    }
}

async fn callbacks(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    let (paid, closed) = (bench.event("PAID"), bench.event("CLOSED"));
    let seen = vec![
        acknowledged(bench.acknowledge(&paid, "A", 1).await),
        dropped(bench.drop_callback(&paid, "A", 1).await),
        accept(bench.accept(&paid, "A").await),
        accept(bench.accept(&paid, "B").await),
        acknowledged(bench.acknowledge(&paid, "B", 2).await),
        dropped(bench.drop_callback(&paid, "B", 2).await),
        acknowledged(bench.acknowledge(&paid, "A", 1).await),
        dropped(bench.drop_callback(&paid, "A", 1).await),
        accept(bench.accept(&paid, "B").await),
        accept(bench.accept_saying(&paid, "B", "other").await),
        accept(bench.accept(&closed, "A").await),
        dropped(bench.drop_callback(&closed, "A", 1).await),
        accept(bench.accept(&closed, "A").await),
    ];
    bench.lose_record();
    let absent = conclude(bench.conclude(Succeeded).await);
    bench.claim("F").await;
    let resolved = conclude(bench.conclude(Succeeded).await);
    let already = conclude(bench.conclude(Succeeded).await);
    let refused = conclude(bench.conclude(Failed).await);
    [seen, vec![absent, resolved, already, refused]].concat()
}

fn accept(accept: Accept) -> (&'static str, &'static str) {
    let word = match accept {
        Accept::First(_) => "first",
        Accept::Repeat(..) => "repeat",
        Accept::Busy(_) => "busy",
        Accept::Open => "open",
        Accept::Contradiction => "contradiction",
    };
    ("accept_callback", word)
}

fn acknowledged(acknowledged: Acknowledged) -> (&'static str, &'static str) {
    let word = match acknowledged {
        Acknowledged::Stored => "stored",
        Acknowledged::Fenced(_) => "fenced",
        Acknowledged::Gone => "gone",
    };
    ("settle_callback", word)
}

fn dropped(dropped: Dropped) -> (&'static str, &'static str) {
    let word = match dropped {
        Dropped::Dropped => "dropped",
        Dropped::Kept => "kept",
        Dropped::Fenced(_) => "fenced",
        Dropped::Gone => "gone",
    };
    ("drop_callback", word)
}

fn conclude(concluded: Conclude) -> (&'static str, &'static str) {
    let word = match concluded {
        Conclude::Concluded(_) => "concluded",
        Conclude::Astray(_) => "astray",
        Conclude::Already => "already",
        Conclude::Kept => "kept",
        Conclude::Refused(_) => "refused",
        Conclude::Absent => "absent",
    };
    ("conclude", word)
}

async fn ended(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    bench.lose_record();
    bench.redis.command(&["FLUSHDB"]);
    let mut seen = vec![
        resolve(bench.resolve("R", None, Succeeded).await),
        release(bench.release("P", None).await),
        cancel(bench.cancel(Some(CALLER), true).await),
    ];
    bench.redis.command(&["FLUSHDB"]);
    bench.claim("F").await;
    seen.extend([
        resolve(bench.resolve("R", Some(1), Succeeded).await),
        resolve(bench.resolve("R", Some(2), Succeeded).await),
        release(bench.release("P", Some(2)).await),
        release(bench.release("P", Some(1)).await),
        cancel(bench.cancel(Some("stranger"), true).await),
        cancel(bench.cancel(Some(CALLER), false).await),
    ]);
    bench.settle("F", 1, Unknown).await;
    let record = bench.look().await;
    seen.push(adopt(bench.adopt("T", &record).await));
    bench.make_due();
    seen.push(adopt(bench.adopt_unable("T", &record).await));
    seen.push(adopt(bench.adopt("T", &record).await));
    seen.push(adopt(bench.adopt("U", &record).await));
    for turn in ["T", "U"] {
        let hold = bench.hold(turn, ASK).await;
        seen.push(("hold", if hold == Hold::Held { "held" } else { "moved" }));
    }
    for turn in ["P", "Q"] {
        seen.push(release(bench.release(turn, Some(1)).await));
    }
    bench.claim("G").await;
    seen.push(cancel(bench.cancel(Some(CALLER), true).await));
    seen.push(settle(bench.settle("G", 2, Succeeded).await));
    seen.push(conclude(bench.conclude(Succeeded).await));
    seen.push(resolve(bench.resolve("R", Some(2), Succeeded).await));
    seen.push(resolve(bench.resolve_with("R", Some(2), Cancelled, Word::Absent).await));
    seen.push(resolve(bench.resolve_with("R", Some(2), Succeeded, Word::Keep).await));
    seen.push(resolve(bench.resolve("S", Some(2), Succeeded).await));
    seen.push(cancel(bench.cancel(Some(CALLER), true).await));
    seen
}

fn adopt(adopt: Adopt) -> (&'static str, &'static str) {
    let word = match adopt {
        Adopt::Adopted { .. } => "adopted",
        Adopt::Unable { .. } => "unable",
        Adopt::Early(_) => "early",
        Adopt::Moved(_) => "moved",
    };
    ("adopt", word)
}

fn resolve(resolve: Resolve) -> (&'static str, &'static str) {
    let word = match resolve {
        Resolve::Resolved => "resolved",
        Resolve::Astray(_) => "astray",
        Resolve::Held(_) => "held",
        Resolve::Kept => "kept",
        Resolve::Paid => "paid",
        Resolve::Fenced(_) => "fenced",
        Resolve::Refused(_) => "refused",
        Resolve::Gone => "gone",
    };
    ("resolve", word)
}

fn release(release: Release) -> (&'static str, &'static str) {
    let word = match release {
        Release::Released => "released",
        Release::Again => "again",
        Release::Dead => "dead",
        Release::Fenced(_) => "fenced",
        Release::Refused(_) => "refused",
        Release::Gone => "gone",
    };
    ("release", word)
}

fn cancel(cancel: Cancel) -> (&'static str, &'static str) {
    let word = match cancel {
        Cancel::Cancelled => "cancelled",
        Cancel::Cancelling => "cancelling",
        Cancel::Final(_) => "final",
        Cancel::Refused(_) => "refused",
        Cancel::Absent => "absent",
    };
    ("cancel", word)
}

fn claim(claim: Claim) -> (&'static str, &'static str) {
    ("claim", claim.word())
}

fn renew(renewal: Renewal) -> (&'static str, &'static str) {
    let word = match renewal {
        Renewal::Renewed => "renewed",
        Renewal::Regained => "regained",
        Renewal::Lost(_) => "lost",
    };
    ("renew", word)
}

fn restore(restore: Restore) -> (&'static str, &'static str) {
    let word = match restore {
        Restore::Restored => "restored",
        Restore::Astray(_) => "astray",
        Restore::Stands(_) => "stands",
    };
    ("restore", word)
}

fn settle(settle: Settle) -> (&'static str, &'static str) {
    ("settle", settle.word())
}

fn abandon(abandon: Abandon) -> (&'static str, &'static str) {
    let word = match abandon {
        Abandon::Abandoned(_) => "abandoned",
        Abandon::Voided(_) => "voided",
        Abandon::Refused(_) => "refused",
    };
    ("abandon", word)
}

fn lapse(lapse: Lapse) -> (&'static str, &'static str) {
    let word = match lapse {
        Lapse::Lapsed(_) => "lapsed",
        Lapse::Held(_) => "held",
        Lapse::Moved(_) => "moved",
    };
    ("lapse", word)
}

async fn queued(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    bench.redis.command(&["FLUSHDB"]);
    let mut seen = vec![("take", took(bench).await), ("enqueue", enqueue(bench, "A").await)];
    let entry = bench.store.take(bench.order.partition, 7, Duration::ZERO).await.unwrap().remove(0);
    seen.push(("take", "taken"));
    seen.push(("draft", drafted(bench, &entry).await));
    seen.push(("dequeue", dequeued(bench, &entry).await));
    for _ in 0..2 {
        let back = bench.store.put_back(&entry, true).await.unwrap();
        seen.push(("put_back", if back == PutBack::Back { "back" } else { "moved" }));
        bench.redis.command(&["XACK", &bench.queue(), "workers", &entry.name]);
    }
    let wrong = spent(&Token::draw(None).unwrap(), 0);
    let invalid = bench.enqueue_with("B", Some(&wrong)).await;
    assert_eq!(invalid, Enqueue::TokenInvalid);
    let other = bench.enqueue_as("B", Option::None, "other", CALLER, &bench.order).await;
    assert_eq!(other, Enqueue::Mismatch(Queued));
    seen.extend([("enqueue", "token-invalid"), ("enqueue", "mismatch")]);
    bench.ask("A").from(&[Queued]).claim().await;
    seen.push(("enqueue", enqueue(bench, "B").await));
    bench.lose_lease();
    seen.push(("enqueue", enqueue(bench, "B").await));
    bench.abandon("A").await;
    for _ in 0..2 {
        let dead = bench.store.dead_letter(&entry, KEEP, "no").await.unwrap();
        seen.push(("dead_letter", if dead == DeadLetter::Dead { "dead" } else { "moved" }));
    }
    seen.push(release(bench.release("L", Option::None).await));
    seen.push(("draft", drafted(bench, &entry).await));
    seen.push(("dequeue", dequeued(bench, &entry).await));
    for _ in 0..2 {
        let queue = bench.store.names().queue(bench.order.partition);
        bench.redis.command(&["XADD", &queue, "*", "id", "x"]);
    }
    bench.lose_record();
    seen.push(("enqueue", enqueue(bench, "C").await));
    seen
}

async fn moves(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    bench.redis.command(&["FLUSHDB"]);
    bench.set_state("shut");
    let mut seen = vec![claim(bench.claim("A").await), ("enqueue", enqueue(bench, "A").await)];
    bench.set_mover("another");
    seen.extend([claim(bench.claim("A").await), ("enqueue", enqueue(bench, "A").await)]);
    for end in ["settle", "resolve", "conclude", "restore"] {
        bench.redis.command(&["FLUSHDB"]);
        bench.claim("B").await;
        bench.set_mover("another");
        seen.push(match end {
            "settle" => settle(bench.settle("B", 1, Succeeded).await),
            "conclude" => conclude(bench.conclude(Succeeded).await),
            "restore" => {
                bench.lose_record();
                restore(bench.restore("B", 1, Succeeded).await)
            }
            _ => {
                bench.lose_lease();
                bench.lapse(None).await;
                resolve(bench.resolve("R", Some(1), Succeeded).await)
            }
        });
    }
    seen
}

async fn took(bench: &Bench) -> &'static str {
    assert_eq!(bench.take(Duration::ZERO).await, []);
    "empty"
}

async fn drafted(bench: &Bench, entry: &Entry) -> &'static str {
    bench.store.draft(entry).await.unwrap().map_or("moved", |_| "queued")
}

async fn dequeued(bench: &Bench, entry: &Entry) -> &'static str {
    match bench.dequeue(entry, "A").await {
        Dequeue::Removed(_) => "removed",
        Dequeue::Open { .. } => "open",
    }
}

async fn enqueue(bench: &Bench, who: &str) -> &'static str {
    match bench.enqueue(who).await {
        Enqueue::Queued(_) => "queued",
        Enqueue::Found(_) => "found",
        Enqueue::Lapsed { .. } => "lapsed",
        Enqueue::Mismatch(_) => "mismatch",
        Enqueue::Moving(_) => "moving",
        Enqueue::Illegal(..) => "illegal",
        Enqueue::TokenInvalid => "token-invalid",
        Enqueue::Overloaded => "overloaded",
    }
}
