//! What things are called in Redis (contract, section 7, NAMESPACE).

use super::bench::{Bench, CALLER, GOOD, KEEP, NAMESPACE, kept_in, order, spent};
use onceward::model::order::State::Unknown;

/// The `<kind>` of a name of the form `<namespace>:{pNN}:<kind>:<id>`, and its tag.
fn parts(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(NAMESPACE)?.strip_prefix(":{p")?;
    let (number, rest) = rest.split_once("}:")?;
    let (kind, id) = rest.split_once(':')?;
    let hash = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let tag = number.len() == 2 && number.parse::<u8>().is_ok_and(|n| n < 64);
    (tag && hash && !id.is_empty()).then_some((number, kind))
}

#[tokio::test]
async fn all_of_one_order_shares_one_hash_tag_and_no_name_holds_client_text() {
    let mut bench = Bench::new();
    bench.order = order("4000000000000002");
    let token = bench.token().await;
    bench.ask("A").token(spent(&token, 0)).claim().await;
    bench.abandon_with("A", Some(&spent(&token, 0))).await;
    bench.claim("B").await;
    bench.settle("B", 2, Unknown).await;
    bench.ask("C").from(&[Unknown]).claim().await;
    let running = bench.names();
    bench.settle("C", 3, Unknown).await;

    let mut kinds = Vec::new();
    for name in running.iter().chain(&bench.names()) {
        let (tag, kind) = parts(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(format!("p{tag}"), bench.order.partition.to_string());
        assert!(!name.contains(bench.order.key.as_str()) && !name.contains("tenant"), "{name}");
        kinds.push(kind.to_owned());
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, ["due", "lease", "order", "token", "unknown"]);

    bench.redis.command(&["FLUSHDB"]);
    bench.enqueue("A").await;
    let entry = bench.take(KEEP).await.remove(0);
    bench.store.dead_letter(&entry, KEEP, "no").await.unwrap();
    bench.enqueue_as("A", None, "p", CALLER, &order("4000000000000002")).await;
    for name in bench.names() {
        assert_eq!(parts(&name).map(|(tag, _)| tag), Some(&bench.order.partition.to_string()[1..]));
    }
}

#[tokio::test]
async fn a_free_token_is_kept_by_itself_until_it_is_spent_where_its_order_is() {
    let bench = Bench::new();
    let token = bench.free_token().await;
    let (alone, spent_at) = (
        bench.store.names().token(kept_in(&token), token.hash()),
        bench.store.names().token(bench.order.partition, token.hash()),
    );
    assert_eq!(bench.names(), [&*alone]);
    bench.assert_kept(&alone, GOOD);
    let until = bench.bind(&token, CALLER, &bench.order).await.unwrap();
    bench.ask("A").token(spent(&token, until)).claim().await;
    assert!(bench.has(&spent_at));
    assert!(bench.names().iter().all(|name| parts(name).is_some()));
}
