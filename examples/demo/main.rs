//! The main job, end to end, against a freshly started `onceward dev`: `make demo`.
//!
//! Every step sends what a shopper, a client or a broken machine would send, and then asks the
//! payment service's ledger how often money moved. Exit 1 when any of it is not as promised.

mod client;
mod dev;
mod late;
mod table;

use client::{Answer, get, post};
use dev::{Dev, PATIENCE};
use onceward::sandbox::ledger;
use serde_json::{Value, json};
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use table::Row;

/// Duplicates sent at once.
const DUPLICATES: usize = 50;

fn main() -> ExitCode {
    match play() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play() -> io::Result<bool> {
    let started = Instant::now();
    println!(
        "starting onceward dev: a redis-server, a payment service, the sidecar in front of it"
    );
    let mut demo = Demo { dev: Dev::start()?, rows: Vec::new() };
    demo.a_payment_and_its_duplicates()?;
    demo.a_charge_whose_answer_is_an_error()?;
    demo.a_service_too_busy_to_begin()?;
    demo.a_sidecar_killed_in_the_middle()?;
    demo.an_order_shipped_too_early()?;
    demo.orders_that_end_later()?;
    table::print(&demo.rows);
    let kept = demo.rows.iter().filter(|row| row.ok).count();
    println!(
        "{kept} of {} as promised, in {:.1} s.",
        demo.rows.len(),
        started.elapsed().as_secs_f64()
    );
    println!(
        "Next: run `target/debug/onceward dev` and send payments to http://localhost:1234 yourself\n\
         (or set ONCEWARD_UPSTREAM=http://127.0.0.1:PORT to put it in front of your own service)."
    );
    Ok(kept == demo.rows.len())
}

struct Demo {
    dev: Dev,
    rows: Vec<Row>,
}

impl Demo {
    fn a_payment_and_its_duplicates(&mut self) -> io::Result<()> {
        tell("fetching a token for order 2024-0001, paying with it");
        let order = json!({"orderId": "2024-0001", "amount": "9.90"});
        let wish = json!({"route": "pay", "key": "2024-0001"});
        let issued = post(&self.dev.url, "/_onceward/tokens", None, &wish)?.json();
        let token = issued["token"].as_str().unwrap_or_default();
        let first = self.pay(Some(token), &order)?;
        let ok = first.status == 200 && !first.is_replay();
        self.row("a payment with a token", first.words(), "2024-0001", (ok, (1, 0)))?;

        tell("sending the same payment 50 times at once");
        let (same, got) = self.duplicates(token, &order, &first);
        self.row("the same, 50 times at once", got, "2024-0001", (same, (1, 0)))?;

        tell("the same order with another amount, and the token for another order");
        let tampered = json!({"orderId": "2024-0001", "amount": "990.00"});
        let answer = self.pay(Some(token), &tampered)?;
        let ok = (answer.status, answer.problem().as_str()) == (422, "payload-mismatch");
        let what = "the same order, another amount";
        self.row(what, answer.words(), "2024-0001", (ok, (1, 0)))?;

        let other = json!({"orderId": "2024-0002", "amount": "9.90"});
        let answer = self.pay(Some(token), &other)?;
        let ok = (answer.status, answer.problem().as_str()) == (403, "token-invalid");
        let what = "the token, for another order";
        self.row(what, answer.words(), "2024-0002", (ok, (0, 0)))
    }

    /// Whether all of them got the first answer, and in words what they got.
    fn duplicates(&self, token: &str, order: &Value, first: &Answer) -> (bool, String) {
        let sent: Vec<_> = (0..DUPLICATES)
            .map(|_| {
                let (url, token, order) = (self.dev.url.clone(), token.to_owned(), order.clone());
                thread::spawn(move || post(&url, "/order/pay", Some(&token), &order).ok())
            })
            .collect();
        let answers = sent.into_iter().filter_map(|thread| thread.join().ok()?);
        let same = answers
            .filter(|it| it.status == first.status && it.body == first.body && it.is_replay())
            .count();
        let bytes = first.body.len();
        let got = format!("{same} times the same {bytes} bytes, replayed");
        (same == DUPLICATES, got)
    }

    fn a_charge_whose_answer_is_an_error(&mut self) -> io::Result<()> {
        tell("a payment service that charges and then answers 500; sending it again");
        let order = json!({"orderId": "2024-0003", "amount": "9.90", "authCode": "error-500"});
        let first = self.pay(None, &order)?;
        let again = self.pay(None, &order)?;
        // A duplicate waits a while for a better answer; asked, the payment service knows of it.
        let ok = first.status == 500 && !first.is_replay() && again.is_replay();
        let ok = ok && (again.body == first.body || again.status == 200);
        let got = format!("{}; then {}", first.words(), again.words());
        self.row("charged, then 500; sent again", got, "2024-0003", (ok, (1, 0)))
    }

    fn a_service_too_busy_to_begin(&mut self) -> io::Result<()> {
        tell("a payment service that answers 429 once; sending it again");
        let order = json!({"orderId": "2024-0004", "amount": "9.90", "authCode": "busy-429-1"});
        let first = self.pay(None, &order)?;
        let again = self.pay(None, &order)?;
        let ok = (first.status, again.status) == (429, 200) && !again.is_replay();
        let got = format!("{}; then {}", first.words(), again.words());
        self.row("429, nothing begun; sent again", got, "2024-0004", (ok, (1, 0)))
    }

    fn a_sidecar_killed_in_the_middle(&mut self) -> io::Result<()> {
        tell("kill -9 of the sidecar in the middle of a payment; sending it again");
        let order = json!({"orderId": "2024-0005", "amount": "9.90", "authCode": "silent"});
        let (url, body) = (self.dev.url.clone(), order.clone());
        let cut_off = thread::spawn(move || post(&url, "/order/pay", None, &body).is_err());
        let until = Instant::now() + PATIENCE;
        while self.charges("2024-0005")? == 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        self.dev.kill_sidecar()?;
        let cut_off = cut_off.join().unwrap_or(false);
        // The dead sidecar's lease must run out before anybody may say what became of its order;
        // then the payment service is asked.
        let mut again = self.pay(None, &order)?;
        while again.status != 200 && Instant::now() < until {
            thread::sleep(Duration::from_millis(100));
            again = self.pay(None, &order)?;
        }
        let went = self.went("2024-0005")?;
        let ok = went == ["in_flight", "unknown", "succeeded"];
        let ok = ok && cut_off && again.status == 200 && again.is_replay();
        let got = format!(
            "no answer; {}; then {}",
            went.get(1..).unwrap_or_default().join(", "),
            again.words()
        );
        let what = "sidecar killed while paying; sent again";
        self.row(what, got, "2024-0005", (ok, (1, 0)))
    }

    /// The states an order went through, as its history tells them.
    fn went(&self, order: &str) -> io::Result<Vec<String>> {
        let order = get(&self.dev.admin, &format!("/admin/orders/pay/{order}"))?.json();
        let lines = order["history"].as_array().cloned().unwrap_or_default();
        Ok(lines.iter().filter_map(|line| Some(line["to"].as_str()?.to_owned())).collect())
    }

    fn an_order_shipped_too_early(&mut self) -> io::Result<()> {
        tell("shipping an order before it is paid; paying it, then shipping it twice");
        let order = json!({"orderId": "2024-0013"});
        let ship = || post(&self.dev.url, "/order/ship", None, &order);
        let early = ship()?;
        let paid = self.pay(None, &json!({"orderId": "2024-0013", "amount": "9.90"}))?;
        let (first, again) = (ship()?, ship()?);
        let ok = (early.status, early.problem().as_str()) == (409, "illegal-transition");
        let ok = ok && (paid.status, first.status) == (200, 200) && !first.is_replay();
        let ok = ok && again.is_replay() && again.body == first.body;
        let got = format!("{}; paid; {}; {}", early.words(), first.words(), again.words());
        self.row("shipped before it is paid, then twice", got, "2024-0013", (ok, (1, 0)))
    }

    fn orders_that_end_later(&mut self) -> io::Result<()> {
        tell("still paying: paid after 3 s, or never; a charge that is never answered");
        tell("a cancel before its payment, and one after the money moved");
        tell("a payment accepted now and polled; callbacks, 20 each");
        for found in late::play(&self.dev.url)? {
            self.row(found.what, found.got, found.order, (found.right, found.due))?;
        }
        Ok(())
    }

    fn pay(&self, token: Option<&str>, order: &Value) -> io::Result<Answer> {
        post(&self.dev.url, "/order/pay", token, order)
    }

    fn charges(&self, order: &str) -> io::Result<usize> {
        Ok(ledger::read(&self.dev.ledger)?.charges(order))
    }

    /// Notes what came of a step: whether the answer was right, and the charges and refunds that are
    /// due.
    fn row(
        &mut self,
        what: &'static str,
        got: String,
        order: &str,
        (right, due): (bool, (usize, usize)),
    ) -> io::Result<()> {
        let ledger = ledger::read(&self.dev.ledger)?;
        let (charges, refunds) = (ledger.charges(order), ledger.refunds(order));
        let ok = right && (charges, refunds) == due;
        self.rows.push(Row { what, got, charges, refunds, ok });
        Ok(())
    }
}

/// Says what is being done.
fn tell(what: &str) {
    println!("  {what}");
}
