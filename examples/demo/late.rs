//! Orders whose end comes later: asked about, told of by callbacks, cancelled, or accepted first
//! and paid afterwards. They take their time, so they take it together.

use crate::client::{Answer, get, post, send};
use crate::dev::PATIENCE;
use serde_json::{Value, json};
use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Copies of each callback, sent at once.
const COPIES: usize = 20;

/// Between two looks at an order, so that a demo is no load test.
const LOOK: Duration = Duration::from_millis(200);

/// What came of a story. Its money is counted when all are over, whatever came late.
pub(crate) struct Found {
    pub(crate) what: &'static str,
    pub(crate) got: String,
    pub(crate) order: &'static str,
    /// Whether the answers were right.
    pub(crate) right: bool,
    /// Charges and refunds due in the ledger.
    pub(crate) due: (usize, usize),
}

type Story = fn(&str) -> io::Result<Found>;

/// All of them, told at the same time, in the order of the table.
pub(crate) fn play(url: &str) -> io::Result<Vec<Found>> {
    let stories: [Story; 7] = [
        still_paying,
        charged_and_silent,
        never_paid,
        cancelled_before_it_arrives,
        charged_and_cancelled,
        accepted_and_polled,
        callbacks,
    ];
    let told: Vec<JoinHandle<_>> = stories
        .into_iter()
        .map(|story| {
            let url = url.to_owned();
            thread::spawn(move || story(&url))
        })
        .collect();
    let join = |story: JoinHandle<io::Result<Found>>| {
        story.join().map_err(|_| io::Error::other("a step broke off"))?
    };
    let mut found = told.into_iter().map(join).collect::<io::Result<Vec<_>>>()?;
    // The payment service has repeated its own callback meanwhile: the last word is now.
    if let Some(callbacks) = found.last_mut() {
        let (heard, once) = heard(url, callbacks.order)?;
        callbacks.got += &format!("; the service heard {heard}");
        callbacks.right &= once;
    }
    Ok(found)
}

fn still_paying(url: &str) -> io::Result<Found> {
    let order = order("2024-0006", "paying-ok-3000");
    let first = post(url, "/order/pay", None, &order)?;
    let again = post(url, "/order/pay", None, &order)?;
    let last = pay_until(url, &order, "succeeded")?;
    let same = again.is_replay() && again.body == first.body;
    let right = first.status == 200 && first.state() == "unknown" && same;
    let right = right && (last.status, last.state()) == (200, "succeeded") && last.is_replay();
    let second = if same { "the same again".to_owned() } else { again.words() };
    let got = format!("{}; {second}; then {}", first.words(), last.words());
    Ok(Found { what: "still paying, then paid", got, order: "2024-0006", right, due: (1, 0) })
}

fn charged_and_silent(url: &str) -> io::Result<Found> {
    let order = order("2024-0007", "silent");
    let first = post(url, "/order/pay", None, &order)?;
    let last = pay_until(url, &order, "succeeded")?;
    let right = first.problem() == "upstream-timeout";
    let right = right && (last.status, last.state()) == (200, "succeeded") && last.is_replay();
    let got = format!("{}; asked; then {}", first.words(), last.words());
    Ok(Found { what: "charged, never answered", got, order: "2024-0007", right, due: (1, 0) })
}

fn never_paid(url: &str) -> io::Result<Found> {
    let order = order("2024-0008", "paying-forever");
    let first = post(url, "/order/pay", None, &order)?;
    let last = pay_until(url, &order, "cancelled")?;
    let right = first.status == 200 && first.state() == "unknown";
    let right = right && last.problem() == "order-cancelled";
    let got = format!("{}; cancelled; then {}", first.words(), last.words());
    Ok(Found { what: "still paying, never paid", got, order: "2024-0008", right, due: (0, 0) })
}

fn cancelled_before_it_arrives(url: &str) -> io::Result<Found> {
    let cancelled = send(url, "POST", "/_onceward/orders/pay/2024-0009/cancel", "", None)?;
    let late = post(url, "/order/pay", None, &order("2024-0009", ""))?;
    let right = (cancelled.status, cancelled.state()) == (200, "cancelled");
    let right = right && (late.status, late.problem().as_str()) == (409, "order-cancelled");
    let got = format!("{}; then {}", cancelled.words(), late.words());
    Ok(Found { what: "cancelled before it arrives", got, order: "2024-0009", right, due: (0, 0) })
}

/// The shopper thinks better of it when the money has moved and the answer has not come.
fn charged_and_cancelled(url: &str) -> io::Result<Found> {
    let number = "2024-0012";
    let order = order(number, "silent");
    let (there, body) = (url.to_owned(), order.clone());
    let paying = thread::spawn(move || post(&there, "/order/pay", None, &body));
    let until = Instant::now() + PATIENCE;
    let result = format!("/order/get_result?orderId={number}");
    while get(url, &result)?.json()["status"] != 1 && Instant::now() < until {
        thread::sleep(LOOK);
    }
    let cancel = format!("/_onceward/orders/pay/{number}/cancel");
    let cancel = send(url, "POST", &cancel, "", None)?;
    let paid = paying.join().map_err(|_| io::Error::other("a payment broke off"))??;
    let last = pay_until(url, &order, "cancelled")?;
    let right = cancel.status == 202 && paid.problem() == "upstream-timeout";
    let right = right && last.problem() == "order-cancelled";
    let got = format!("{}; {}; then {}", cancel.words(), paid.words(), last.words());
    Ok(Found { what: "charged, cancelled, refunded", got, order: number, right, due: (1, 1) })
}

fn accepted_and_polled(url: &str) -> io::Result<Found> {
    let order = order("2024-0010", "slow-500");
    let accepted = send(url, "POST", "/order/pay", "Prefer: respond-async\r\n", Some(&order))?;
    let place = accepted.header("location").unwrap_or_default().to_owned();
    let until = Instant::now() + PATIENCE;
    let mut last = get(url, &place)?;
    while last.state() != "succeeded" && Instant::now() < until {
        thread::sleep(LOOK);
        last = get(url, &place)?;
    }
    let again = post(url, "/order/pay", None, &order)?;
    let right = accepted.status == 202 && last.state() == "succeeded";
    let right = right && again.status == 200 && again.is_replay();
    let got = format!("{}; polled; then {}", accepted.words(), again.words());
    Ok(Found { what: "accepted now, paid later", got, order: "2024-0010", right, due: (1, 0) })
}

/// The channel says "paid" before it says "waiting", each many times; the payment service's own
/// callbacks come in between, repeated although they are acknowledged.
fn callbacks(url: &str) -> io::Result<Found> {
    let number = "2024-0011";
    let paid = post(url, "/order/pay", None, &order(number, "notify-repeat"))?;
    let mut acknowledged = 0;
    for status in ["SUCCESS", "WAIT_BUYER_PAY"] {
        let event = json!({"orderId": number, "tradeStatus": status, "amount": "9.90"});
        let sent: Vec<_> = (0..COPIES)
            .map(|_| {
                let (url, event) = (url.to_owned(), event.clone());
                thread::spawn(move || repeat(&url, &event))
            })
            .collect();
        acknowledged += sent.into_iter().filter_map(|it| it.join().ok()).filter(|ok| *ok).count();
    }
    let right = paid.status == 200 && acknowledged == 2 * COPIES;
    let got = format!("{acknowledged} acknowledged");
    let what = "callbacks repeated, out of order";
    Ok(Found { what, got, order: number, right, due: (1, 0) })
}

/// As a channel does: the same again until it is heard.
fn repeat(url: &str, event: &Value) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match post(url, "/notify", None, event) {
            Ok(answer) if answer.status == 200 && answer.body == b"success" => return true,
            _ => thread::sleep(LOOK),
        }
    }
    false
}

/// What the payment service heard of an order, and whether that was each event once.
fn heard(url: &str, order: &str) -> io::Result<(String, bool)> {
    let heard = get(url, &format!("/notifications?orderId={order}"))?.json();
    let of = |status: &str| {
        heard
            .as_array()
            .map_or(0, |all| all.iter().filter(|it| it["tradeStatus"] == status).count())
    };
    let (paid, waiting) = (of("SUCCESS"), of("WAIT_BUYER_PAY"));
    Ok((format!("{paid} paid, {waiting} waiting"), (paid, waiting) == (1, 1)))
}

fn order(number: &str, code: &str) -> Value {
    match code {
        "" => json!({"orderId": number, "amount": "9.90"}),
        code => json!({"orderId": number, "amount": "9.90", "authCode": code}),
    }
}

/// Sends the same payment until its order is in that state.
fn pay_until(url: &str, order: &Value, state: &str) -> io::Result<Answer> {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = post(url, "/order/pay", None, order)?;
        if answer.state() == state || Instant::now() >= until {
            return Ok(answer);
        }
        thread::sleep(LOOK);
    }
}
