//! A claim and a settle have a short way that nearly all of them go, and a long one for everything
//! else. Both say and leave the same.

use super::bench::{Bench, CALLER, FINAL, GOOD, KEEP, LEASE, PAYLOAD};
use super::bench::{answer, found, granted, spent};
use onceward::model::order::State::{Cancelled, Failed, InFlight, None, Succeeded, Unknown};
use onceward::model::response::Kept;
use onceward::model::token::Token;
use onceward::store::orders::{Claim, Settle};
use onceward::store::record::Found;
use std::time::Duration;

/// Two digests of one request: nobody takes the short way with them.
const BOTH: &str = "payload,older";

/// The record as it lies in Redis, without its times.
fn raw(bench: &Bench) -> String {
    let raw = bench.redis.command(&["GET", &bench.record()]);
    let is_time = |word: &str| word.len() == 13 && word.bytes().all(|byte| byte.is_ascii_digit());
    let words = raw.split_inclusive([' ', '\n']).map(|word| match is_time(word.trim_end()) {
        true => "time ",
        false => word,
    });
    words.collect()
}

#[tokio::test]
async fn a_claim_of_a_new_order_leaves_the_same_whichever_way_it_goes() {
    let bench = Bench::new();
    let mut left = Vec::new();
    for payload in [PAYLOAD, BOTH] {
        assert_eq!(bench.ask("A").payload(payload).claim().await, granted(1, None));
        let due = bench.indexed(&bench.due());
        let lease = bench.redis.command(&["GET", &bench.lease()]);
        bench.assert_kept(&bench.lease(), LEASE);
        bench.assert_kept(&bench.record(), KEEP);
        left.push((raw(&bench), due, lease));
        bench.redis.command(&["FLUSHDB"]);
    }
    assert_eq!(left[0], left[1]);
}

#[tokio::test]
async fn a_settle_leaves_the_same_whichever_way_it_goes() {
    let bench = Bench::new();
    let kept = [answer(200, b"paid"), answer(402, b""), Kept::TooLarge(200.try_into().unwrap())];
    for (to, kept) in [Succeeded, Failed].into_iter().flat_map(|to| kept.clone().map(|k| (to, k))) {
        let mut left = Vec::new();
        for is_known in [true, false] {
            bench.claim("A").await;
            assert!(bench.begun("A").is_some());
            if !is_known {
                bench.forget_begun();
            }
            assert_eq!(bench.settle_with("A", 1, to, &kept).await, Settle::Settled);
            bench.assert_kept(&bench.record(), FINAL);
            assert!(!bench.has(&bench.lease()) && bench.indexed(&bench.due()).is_empty());
            left.push(raw(&bench));
            assert_eq!(found(bench.claim("B").await), (to, kept.clone()));
            bench.redis.command(&["FLUSHDB"]);
        }
        assert_eq!(left[0], left[1]);
    }
}

#[tokio::test]
async fn an_attempt_that_brought_a_token_is_settled_the_short_way_too() {
    let bench = Bench::new();
    let mut left = Vec::new();
    for is_known in [true, false] {
        let token = bench.token().await;
        bench.ask("A").token(spent(&token, 0)).claim().await;
        if !is_known {
            bench.forget_begun();
        }
        bench.settle("A", 1, Succeeded).await;
        left.push(raw(&bench).replace(token.hash(), "token"));
        bench.redis.command(&["FLUSHDB"]);
    }
    assert_eq!(left[0], left[1]);
}

/// A caller's digest, as long as they are: it is packed otherwise than a short word.
const DIGEST: &str = "DY6lRZy80BealmwQ0cpg_avCByabnCBlftrtz2MZkYU";

/// A token that a caller fetched for the order.
async fn fetched(bench: &Bench, caller: &str) -> Token {
    let token = Token::draw(Some(bench.order.clone())).unwrap();
    bench.store.issue_token(&token, caller, "pay", GOOD).await.unwrap();
    token
}

#[tokio::test]
async fn a_claim_with_a_token_leaves_the_same_whichever_way_it_goes() {
    let bench = Bench::new();
    let mut left = Vec::new();
    for payload in [PAYLOAD, BOTH] {
        let token = fetched(&bench, DIGEST).await;
        let name = bench.store.names().token(bench.order.partition, token.hash());
        let clock = bench.redis.calls("time");
        let ask = bench.ask("A").token(spent(&token, 0)).callers(DIGEST).payload(payload);
        assert_eq!(ask.claim().await, granted(1, None));
        // Only the long way asks for the time.
        assert_eq!(bench.redis.calls("time") - clock, u64::from(payload == BOTH));
        bench.assert_kept(&name, GOOD);
        bench.assert_kept(&bench.record(), KEEP);
        let due = bench.indexed(&bench.due());
        let of_token = |field| bench.redis.command(&["HGET", &name, field]);
        let spent = ["caller", "route", "order", "spent"].map(of_token);
        left.push((raw(&bench).replace(token.hash(), "token"), due, spent));
        bench.redis.command(&["FLUSHDB"]);
    }
    assert_eq!(left[0], left[1]);
    assert_eq!(left[0].2[3], bench.attempt("A").as_str());
}

#[tokio::test]
async fn a_duplicate_with_a_token_is_told_the_same_whichever_way_it_goes() {
    for caller in [CALLER, DIGEST] {
        let bench = Bench::new();
        let token = fetched(&bench, caller).await;
        let with = |token: &Token| bench.ask("B").token(spent(token, 0)).callers(caller);
        bench.ask("A").token(spent(&token, 0)).callers(caller).claim().await;
        // What the payment service says may look like anything.
        let (strange, other) = ("stranger-".repeat(5), fetched(&bench, "stranger").await);
        let mut body = format!(" {} \nasked 99\n", other.hash()).into_bytes();
        body.extend_from_slice(b"\xa6caller\xa8stranger\xa6caller\xd9\x2d");
        body.extend_from_slice(strange.as_bytes());
        bench.settle_with("A", 1, Succeeded, &answer(200, &body)).await;

        match [with(&token).claim().await, with(&token).payload(BOTH).claim().await] {
            [Claim::Found(short), Claim::Found(long)] => {
                // It is the order's token for good: the answer may be remembered with it.
                assert!(!short.left.is_zero() && !long.left.is_zero());
                assert_eq!(short, Found { left: short.left, ..long });
                assert_eq!((short.state, short.kept), (Succeeded, answer(200, &body)));
            }
            other => panic!("{other:?}"),
        }
        for payload in [PAYLOAD, BOTH] {
            // Somebody else's hand, a token that was never the order's, one that was never anybody's.
            for stranger in ["stranger", &strange] {
                let claim = with(&token).callers(stranger).payload(payload).claim().await;
                assert_eq!(claim, Claim::TokenInvalid);
            }
            assert_eq!(with(&other).payload(payload).claim().await, Claim::TokenInvalid);
            let never = Token::draw(Some(bench.order.clone())).unwrap();
            assert_eq!(with(&never).payload(payload).claim().await, Claim::TokenInvalid);
            // A second token of the same caller's for this order: good, and not spent for an answer.
            let second = fetched(&bench, caller).await;
            match with(&second).payload(payload).claim().await {
                Claim::Found(found) => assert!(found.left.is_zero()),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_is_spent_or_not_good_starts_nothing_on_the_short_way_either() {
    let bench = Bench::new();
    let token = fetched(&bench, DIGEST).await;
    let name = bench.store.names().token(bench.order.partition, token.hash());
    let with = |caller| bench.ask("A").token(spent(&token, 0)).callers(caller);
    let changes = [["spent", "another"], ["order", "another"], ["caller", "another"]];
    for [field, value] in changes {
        let before = bench.redis.command(&["HGET", &name, field]);
        bench.redis.command(&["HSET", &name, field, value]);
        let writes = bench.writes();
        assert_eq!(with(DIGEST).claim().await, Claim::TokenInvalid, "{field}");
        assert_eq!(bench.writes(), writes);
        match before.is_empty() {
            true => bench.redis.command(&["HDEL", &name, field]),
            false => bench.redis.command(&["HSET", &name, field, &before]),
        };
    }
    // A lease that outlived its record.
    bench.redis.command(&["SET", &bench.lease(), "somebody:7", "PX", "60000"]);
    assert_eq!(found(with(DIGEST).claim().await).0, InFlight);
    assert_eq!(bench.redis.command(&["HEXISTS", &name, "spent"]), "0");
    bench.redis.command(&["DEL", &bench.lease()]);
    assert_eq!(with(DIGEST).claim().await, granted(1, None));
}

/// What came to be known of an order since its claim is not written over.
#[tokio::test]
async fn what_happened_meanwhile_sends_a_settle_the_long_way() {
    // Somebody waits, and is told.
    let bench = Bench::new();
    bench.claim("A").await;
    assert_eq!(found(bench.claim("B").await).0, InFlight);
    assert_eq!(bench.field("waited"), "1");
    bench.settle("A", 1, Succeeded).await;
    assert_eq!((bench.field("waited"), bench.field("state")), ("".into(), "succeeded".into()));

    // Its lease was lost, it became unknown, and its outcome is told all the same.
    let bench = Bench::new();
    bench.claim("A").await;
    bench.redis.command(&["DEL", &bench.lease()]);
    bench.lapse(Some(1)).await;
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
    assert_eq!(bench.look().await.history.len(), 3);
    assert!(bench.indexed(&bench.unknown()).is_empty());

    // It is being cancelled.
    let bench = Bench::new();
    bench.claim("A").await;
    bench.cancel(Some(CALLER), true).await;
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Kept);

    // Another attempt has taken its place.
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    bench.claim("B").await;
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Fenced(2, InFlight));

    // A tombstone, or another end, stands.
    for state in [Cancelled, Failed] {
        let bench = Bench::new();
        bench.claim("A").await;
        bench.redis.change_record(&bench.record(), &["state", state.word()]);
        assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Refused(state));
    }

    // There is no record any more.
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_record();
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Gone);
}

/// What a duplicate is answered from as it is, it is only if that is all there is to say.
#[tokio::test]
async fn a_duplicate_that_must_be_looked_at_closely_goes_the_long_way() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Succeeded).await;
    // Whoever asks how long the record is kept is told the same, and that.
    let (short, long) = (bench.ask("B").whatever_is_left(), bench.ask("B"));
    let both = short.payload(BOTH).claim().await;
    assert_eq!(both, bench.ask("B").whatever_is_left().claim().await);
    match (both, long.claim().await) {
        (Claim::Found(short), Claim::Found(long)) => {
            assert_eq!((short.left, long.left.is_zero()), (Duration::ZERO, false));
            assert_eq!(short, Found { left: Duration::ZERO, ..long });
        }
        other => panic!("{other:?}"),
    }
    // Another request, and an old copy of the claim itself.
    let other = bench.ask("B").payload("other").claim().await;
    assert_eq!(other, Claim::Mismatch(Succeeded));
    assert_eq!(found(bench.claim("A").await), (Succeeded, answer(200, b"paid")));
    // One that was taken back before it came.
    bench.abandon("C").await;
    assert_eq!(bench.claim("C").await, Claim::Voided);
    assert_eq!(found(bench.claim("D").await), (Succeeded, answer(200, b"paid")));
    // A token that is not the order's.
    let wrong = spent(&Token::draw(Option::None).unwrap(), 0);
    assert_eq!(bench.ask("E").token(wrong).claim().await, Claim::TokenInvalid);
    // A longer digest, a shorter one.
    for payload in ["payload2", "payloa"] {
        let claim = bench.ask("F").payload(payload).claim().await;
        assert_eq!(claim, Claim::Mismatch(Succeeded));
    }
}

#[tokio::test]
async fn an_answer_that_leaves_it_open_is_no_last_word() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle_with("A", 1, Unknown, &answer(500, b"oops")).await;
    assert_eq!(bench.field("answer"), "kept");
    assert_eq!(found(bench.claim("B").await), (Unknown, answer(500, b"oops")));
}
