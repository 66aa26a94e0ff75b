//! A stored response comes back byte for byte, and is not in clear where there is a secret.

use super::bench::{Ask, Bench, CALLER, IDLE, PAYLOAD, answer, found, store};
use onceward::model::order::State::Succeeded;
use onceward::model::response::Kept;
use onceward::model::seal::Secrets;
use onceward::store::Store;
use onceward::store::orders::Settlement;
use onceward::store::queue::Entry;
use std::sync::Arc;

const OLD: &str = "an old secret 16";
const NEW: &str = "a new secret that writes";

/// A bench whose store seals with these secrets.
fn sealing(secrets: &str) -> Bench {
    let mut bench = Bench::new();
    bench.store = with(&bench, secrets);
    bench
}

fn with(bench: &Bench, secrets: &str) -> Arc<Store> {
    let secrets = match secrets {
        "" => Secrets::none(),
        list => Secrets::parse(list).unwrap(),
    };
    Arc::new(store(&bench.redis, |config| {
        config.secrets = Arc::new(secrets);
    }))
}

/// What a duplicate finds.
async fn replayed(duplicate: Ask<'_>) -> Kept {
    found(duplicate.claim().await).1
}

#[tokio::test]
async fn a_body_comes_back_as_it_was_whatever_its_bytes() {
    let bodies: [&[u8]; 8] = [
        b"",
        b"paid",
        b"\xfe",
        b"\xfe\xfe sealed?",
        b"\xff",
        b"\xff\xfe clear?",
        b"\x00\r\n\x00",
        &[0xab; 70_000],
    ];
    for secrets in ["", OLD] {
        let bench = sealing(secrets);
        for body in bodies {
            let response = answer(200, body);
            bench.claim("A").await;
            bench.settle_with("A", 1, Succeeded, &response).await;
            assert_eq!(replayed(bench.ask("B")).await, response);
            assert_eq!(bench.look().await.kept, response);
            bench.lose_record();
        }
    }
}

#[tokio::test]
async fn a_sealed_body_is_not_in_clear_in_redis() {
    for (secrets, in_clear) in [("", true), (OLD, false)] {
        let bench = sealing(secrets);
        bench.claim("A").await;
        let card = answer(200, b"card 4000 0000 0000 0002");
        bench.settle_with("A", 1, Succeeded, &card).await;
        let record = bench.redis.command(&["GET", &bench.record()]);
        assert_eq!(record.contains("card 4000"), in_clear);
    }
}

#[tokio::test]
async fn a_body_opens_while_its_secret_is_among_those_configured() {
    let bench = sealing(OLD);
    let response = answer(200, b"paid");
    bench.claim("A").await;
    bench.settle_with("A", 1, Succeeded, &response).await;
    let rotated = with(&bench, &format!("{NEW},{OLD}"));
    let duplicate = bench.ask("B").through(&rotated);
    assert_eq!(replayed(duplicate).await, response);
    // Without it nothing is replayed wrong, and the order does not run again.
    for secrets in ["", NEW] {
        let forgetful = with(&bench, secrets);
        let duplicate = bench.ask("B").through(&forgetful);
        let unreadable = Kept::TooLarge(200.try_into().unwrap());
        assert_eq!(replayed(duplicate).await, unreadable);
    }
}

#[tokio::test]
async fn a_body_moved_to_another_order_stays_shut() {
    let bench = sealing(OLD);
    bench.claim("A").await;
    bench.settle("A", 1, Succeeded).await;
    let other = super::bench::order("2024-0002");
    let name = bench.store.names().record(&other);
    bench.redis.command(&["COPY", &bench.record(), &name]);
    let kept = replayed(bench.ask("B").order(other)).await;
    assert_eq!(kept, Kept::TooLarge(200.try_into().unwrap()));
}

#[tokio::test]
async fn what_was_stored_in_clear_is_read_after_a_secret_was_set() {
    let bench = sealing("");
    for body in [&b"paid"[..], b"\xff\xfe"] {
        bench.claim("A").await;
        let response = answer(200, body);
        bench.settle_with("A", 1, Succeeded, &response).await;
        let keyed = with(&bench, OLD);
        assert_eq!(replayed(bench.ask("B").through(&keyed)).await, response);
        bench.lose_record();
    }
}

#[tokio::test]
async fn a_response_too_large_to_store_leaves_its_status() {
    let bench = Bench::new();
    bench.claim("A").await;
    let large = Kept::TooLarge(201.try_into().unwrap());
    let begun = bench.begun("A");
    let settlement = Settlement {
        order: &bench.order,
        attempt: &bench.attempt("A"),
        fence: 1,
        to: Succeeded,
        keep: super::bench::FINAL,
        kept: &large,
        why: "large",
        begun: begun.as_deref(),
    };
    bench.store.settle(&settlement).await.unwrap();
    assert_eq!(replayed(bench.ask("B")).await, large);
}

/// The order's entry, in a worker's hands.
async fn taken(bench: &Bench) -> Entry {
    bench.take(IDLE).await.remove(0)
}

/// What a worker with these secrets reads of it.
async fn drafted(bench: &Bench, entry: &Entry, secrets: &str) -> Option<(String, Vec<u8>)> {
    let draft = with(bench, secrets).draft(entry).await.unwrap().expect("queued");
    draft.request.map(|(head, body)| (head.uri.to_string(), body.to_vec()))
}

#[tokio::test]
async fn a_queued_request_opens_while_its_secret_is_among_those_configured() {
    let bench = sealing(OLD);
    bench.enqueue("A").await;
    let entry = taken(&bench).await;
    let asked = Some(("/pay".to_owned(), b"{}".to_vec()));
    assert_eq!(drafted(&bench, &entry, &format!("{NEW},{OLD}")).await, asked);
    for secrets in ["", NEW] {
        assert_eq!(drafted(&bench, &entry, secrets).await, None);
    }
    assert_eq!(drafted(&bench, &entry, OLD).await, asked);
}

#[tokio::test]
async fn a_request_or_an_answer_put_in_anothers_place_stays_shut() {
    let mut bench = sealing(OLD);
    let mine = bench.order.clone();
    let other = super::bench::order("2024-0002");
    bench.enqueue("A").await;
    bench.enqueue_as("B", Option::None, PAYLOAD, CALLER, &other).await;
    let names = bench.store.names();
    let (mine, theirs) = (names.request(&mine), names.request(&other));
    for (from, to) in [(&mine, "kept"), (&theirs, mine.as_str()), (&"kept".to_owned(), &theirs)] {
        bench.redis.command(&["RENAME", from, to]);
    }
    assert_eq!(drafted(&bench, &taken(&bench).await, OLD).await, None);
    bench.order = other;
    assert_eq!(drafted(&bench, &taken(&bench).await, OLD).await, None);
}
