//! The drill: several sidecars, a Redis, a payment service with a ledger, thousands of orders, and
//! accidents drawn from a seed all the while. The ledger alone is the judge.
//!
//! `pod` is what runs, `accidents` what happens to it, `shoppers` who pay meanwhile, `verdict` what
//! came of it. `make drill` plays 10,000 orders a seed; the suite a few hundred, every accident once.

mod accidents;
mod pod;
mod rules;
mod shoppers;
mod verdict;

use crate::support::dice::Dice;
use pod::Pod;
use std::sync::atomic::{AtomicBool, Ordering};
use verdict::Verdict;

/// Orders and seed of the suite's drill.
const ORDERS: usize = 1500;
const SEED: u64 = 20_260_101;

/// Accidents that are under way at a time.
const HANDS: u64 = 2;

#[test]
fn a_drill_of_every_accident_breaks_no_guarantee() {
    let orders = number("ONCEWARD_TEST_ORDERS", ORDERS as u64) as usize;
    let seeds = std::env::var("ONCEWARD_TEST_SEEDS").unwrap_or(SEED.to_string());
    let mut broken = Vec::new();
    for seed in seeds.split([',', ' ']).filter(|seed| !seed.is_empty()) {
        let verdict = drill(orders, seed.parse().expect("a seed is a number"));
        println!("{verdict}\nrow: {}", verdict.row());
        for what in &verdict.broken {
            println!("seed {seed}: {what}");
        }
        broken.extend(verdict.broken);
    }
    assert!(broken.is_empty(), "{} guarantees broken, see above", broken.len());
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn drill(orders: usize, seed: u64) -> Verdict {
    println!("seed {seed}: {orders} orders");
    let pod = Pod::start();
    let deck = accidents::Deck::shuffled(&mut Dice::new(seed));
    let over = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        let hands: Vec<_> = (0..HANDS)
            .map(|hand| {
                let (pod, deck, over) = (&pod, &deck, &over);
                let dice = Dice::new(seed ^ (hand + 1));
                scope.spawn(move || accidents::play(pod, deck, dice, over))
            })
            .collect();
        let told = shoppers::pay(&pod, orders, seed, || deck.progress());
        over.store(true, Ordering::SeqCst);
        for hand in hands {
            hand.join().expect("no panic inside");
        }
        told
    });
    pod.heal();
    verdict::reach(&pod, &deck, told, orders, seed)
}
