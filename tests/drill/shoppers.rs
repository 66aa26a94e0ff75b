//! Who pays meanwhile: callers that pay one order after the other, each with its duplicates, some
//! with a token, some cancelled, some by callers who hang up, and what they were told.

use super::pod::Pod;
use crate::support::client::{Call, Reply};
use crate::support::dice::Dice;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// Callers that pay at the same time, one order after the other.
const CALLERS: usize = 32;
/// How often a caller tries again when told that nothing was sent.
const TRIES: usize = 3;
/// Of so many orders one is sent by a caller who hangs up at once.
const HANG_UP: u64 = 8;

/// What a shopper does with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Pays.
    Pay,
    /// Pays with a token fetched before.
    PayByToken,
    /// Has it queued and asks for it later.
    Queue,
    /// Pays, and cancels while it is under way.
    CancelAfter,
    /// Cancels what has not arrived yet, then pays.
    CancelBefore,
}

/// What the payment service makes of it (the sandbox' auth codes), and what its shopper does.
pub const KINDS: [(&str, Wish); 16] = [
    ("at-once", Wish::Pay),
    ("slow-300", Wish::PayByToken),
    ("paying-ok-800", Wish::Pay),
    ("silent", Wish::Pay),
    ("dies", Wish::Pay),
    ("error-500", Wish::Pay),
    ("declined", Wish::Pay),
    ("early-reset-1", Wish::Pay),
    ("slow-400", Wish::CancelAfter),
    ("at-once", Wish::Queue),
    ("notify-repeat", Wish::Pay),
    ("busy-429-1", Wish::Pay),
    ("at-once", Wish::CancelBefore),
    ("dies", Wish::Queue),
    ("paying-no-600", Wish::PayByToken),
    ("paying-forever", Wish::Pay),
];

pub fn code(n: usize) -> &'static str {
    KINDS[n % KINDS.len()].0
}

pub fn wish(n: usize) -> Wish {
    KINDS[n % KINDS.len()].1
}

/// An order's number.
pub fn order(n: usize) -> String {
    format!("order-{n}")
}

/// The payment of an order, the same each time.
pub fn paying(n: usize) -> Call {
    let body = format!(r#"{{"orderId":"{}","amount":"9.90","authCode":"{}"}}"#, order(n), code(n));
    let call = Call::post("/order/pay").json(&body);
    if wish(n) == Wish::Queue { call.header("Prefer", "respond-async") } else { call }
}

/// What somebody was told about an order.
pub struct Told {
    pub n: usize,
    /// Of a payment, or of a cancel.
    pub payment: bool,
    pub reply: Reply,
    /// In which of Redis' lives it was asked.
    pub life: usize,
}

/// Everything anybody was told, and what was sent.
#[derive(Default)]
pub struct Everything {
    pub told: Vec<Told>,
    /// Payments sent, the first of each order included.
    pub sent: usize,
    /// Of them, by callers who hung up.
    pub hung_up: usize,
    /// Redis' life in which each order began, by the order.
    pub began: BTreeMap<usize, usize>,
}

/// Pays `orders` orders, as fast as `progress`, from 0 to 1, allows.
pub fn pay(pod: &Pod, orders: usize, seed: u64, progress: impl Fn() -> f64 + Sync) -> Everything {
    let next = AtomicUsize::new(0);
    let everything = Mutex::new(Everything::default());
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (next, everything, progress) = (&next, &everything, &progress);
            scope.spawn(move || {
                let mut dice = Dice::new(seed ^ ((caller as u64 + 1) << 32));
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= orders {
                        return;
                    }
                    // Spread over all that happens.
                    while (n as f64) > progress() * orders as f64 {
                        sleep(Duration::from_millis(10));
                    }
                    shop(pod, n, &mut dice, everything);
                }
            });
        }
    });
    everything.into_inner().expect("no panic inside")
}

/// One order: its first payment, a duplicate at another replica and all that its wish asks for.
fn shop(pod: &Pod, n: usize, dice: &mut Dice, everything: &Mutex<Everything>) {
    let hear = |payment: bool, ask: &dyn Fn() -> Option<Reply>| {
        let life = pod.life();
        let reply = ask()?;
        let told = Told { n, payment, reply: reply.clone(), life };
        everything.lock().expect("no panic inside").told.push(told);
        Some(reply)
    };
    everything.lock().expect("no panic inside").began.insert(n, pod.life());
    let count = |sent: usize, hung_up: usize| {
        let mut everything = everything.lock().expect("no panic inside");
        everything.sent += sent;
        everything.hung_up += hung_up;
    };
    let mut call = paying(n);
    if wish(n) == Wish::PayByToken
        && let Some(token) = token(pod, n)
    {
        call = call.header("Payment-Token", &token);
    }
    if wish(n) == Wish::CancelBefore {
        hear(false, &|| cancel(pod, n));
    }
    let (copied, cancelled) = (dice.pause(400), dice.pause(400));
    let hangs_up = dice.one_in(HANG_UP);
    std::thread::scope(|scope| {
        let call = &call;
        scope.spawn(move || {
            sleep(copied);
            hear(true, &|| call.try_send(pod.at(n + 1)));
        });
        if wish(n) == Wish::CancelAfter {
            scope.spawn(move || {
                sleep(cancelled);
                hear(false, &|| cancel(pod, n));
            });
        }
        if hangs_up {
            let _ = call.try_begin(pod.at(n));
            sleep(copied);
        }
        for _ in 0..TRIES {
            let reply = hear(true, &|| call.try_send(pod.at(n)));
            let sent = reply.is_some_and(|reply| !may_go_again(&reply));
            count(1, 0);
            if sent {
                break;
            }
            sleep(Duration::from_millis(300));
        }
        count(1 + usize::from(hangs_up), usize::from(hangs_up));
    });
}

/// Whether a caller is told to send it again.
fn may_go_again(reply: &Reply) -> bool {
    matches!(reply.status, 429 | 502 | 503) && matches!(reply.state(), "none" | "unknown" | "")
}

fn cancel(pod: &Pod, n: usize) -> Option<Reply> {
    Call::post(&format!("/_onceward/orders/pay/{}/cancel", order(n))).try_send(pod.at(n + 2))
}

fn token(pod: &Pod, n: usize) -> Option<String> {
    let wanted = format!(r#"{{"route":"pay","key":"{}"}}"#, order(n));
    let reply = Call::post("/_onceward/tokens").json(&wanted).try_send(pod.at(n + 1))?;
    serde_json::from_slice::<serde_json::Value>(&reply.body).ok()?["token"]
        .as_str()
        .map(str::to_owned)
}
