//! The sandbox: a stand-in payment service, good enough to develop against and strict enough to
//! judge by. It charges as often as it is told to; whether that was once is what its ledger shows.
//!
//! Knows nothing about Onceward. It records the `Idempotency-Key` and `Onceward-Fence` headers with
//! every effect and does not act on them.
//!
//! | call | takes | does |
//! |---|---|---|
//! | `POST /order/create` | goodsId, userId, num, amount | a new order; the simulated shopper pays it after the shopper delay unless a payment or a cancel comes first |
//! | `POST /order/pay` | orderId, amount, authCode? | charges, every time; an order never created is booked on the fly; 409 when cancelled |
//! | `GET /order/get_result?orderId=` | | `status`: 0 waiting, 1 paid, 2 failed, 3 cancelled, 4 refunded; 404 with code `0404` when unknown |
//! | `POST /order/cancel` | orderId | cancels, or gives everything charged back; an unknown order becomes cancelled; again: the same answer, no second refund |
//! | `POST /order/refund` | orderId, refundId, amount | gives back, every time; 409 when never paid |
//! | `POST /order/ship` | orderId | the goods leave, every time: tells how often they have; 409 when not paid |
//! | `POST /notify` | orderId, tradeStatus, notifyId? | the merchant's side of a callback: remembers it, every time, and answers `success` |
//! | `GET /notifications?orderId=` | | the callbacks heard of an order: tradeStatus and notifyId of each |
//! | `GET /ledger?orderId=` | | the [ledger] lines, of one order or all |
//! | `GET /healthz` | | 200 |
//!
//! Answers are JSON: `code` (`0000` is success), `msg`, `data`. Numbers may be sent as strings.
//!
//! The auth code of a payment selects what happens. `MS` is milliseconds, at most 600000.
//!
//! | auth code | charged | answer |
//! |---|---|---|
//! | none, or any not listed | yes | 200 `0000`, status 1 |
//! | `slow-MS` | yes, at once | the same, `MS` later |
//! | `dies` | yes | the connection is reset |
//! | `silent` | yes | none, and no callback; the connection stays open |
//! | `error-500` | yes | 500 `0500` |
//! | `notify-repeat` | yes | 200; every callback repeat is sent, acknowledged or not |
//! | `notify-none` | yes | 200; no callback is ever sent |
//! | `paying-ok`, `paying-ok-MS` | after `MS` (2000), unless cancelled by then | 200 `0001` USERPAYING, status 0 |
//! | `paying-no`, `paying-no-MS` | no; failed after `MS` (2000) | 200 `0001` USERPAYING, status 0 |
//! | `paying-forever` | no; waits until cancelled | 200 `0001` USERPAYING, status 0 |
//! | `declined` | no; failed | 200 `0051`, status 2 |
//! | `declined-402` | no; failed | 402 `0051`, status 2 |
//! | `busy-429` | no; no trace of the order | 429 `0429` |
//! | `busy-503` | no; no trace of the order | 503 `0503` with `Retry-After: 1` |
//! | `early-500` | no; no trace of the order | 500 `0500` |
//! | `early-reset` | no; no trace of the order | the connection is reset |
//! | the last four with `-N` | | so for the first `N` payments of the order; then it pays at once |
//!
//! After each charge, when a notify URL is set, the sandbox POSTs
//! `{"orderId", "tradeStatus": "SUCCESS", "amount", "notifyId"}` there and repeats that until it is
//! answered 200 `success`. There may be a sidecar, with this sandbox behind it.
//!
//! Only effects are on disk. Orders that moved no money, timers and callbacks end with the process.

mod amount;
mod answers;
mod behaviour;
mod fields;
mod heard;
pub mod ledger;
mod notify;
mod orders;
mod pay;
mod router;
mod server;
mod service;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::Mutex, task::spawn_blocking};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use amount::{Amount, NotAnAmount};

use heard::Heard;
use ledger::Ledger;
use notify::Notifier;
use orders::Book;
use service::Service;

/// How long the simulated shopper takes to pay a created order.
pub const SHOPPER_DELAY: Duration = Duration::from_secs(2);

/// What a sandbox needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The ledger's file: continued when it exists, else created. One sandbox per file.
    pub ledger: PathBuf,
    /// Where callbacks go, `http://` only; none: no callbacks.
    pub notify_url: Option<String>,
    /// The wait before each try of a callback.
    pub notify_delays: Vec<Duration>,
    /// How long the simulated shopper takes to pay a created order.
    pub shopper_delay: Duration,
}

impl Config {
    /// The defaults: [`SHOPPER_DELAY`], no callbacks.
    pub fn new(ledger: impl Into<PathBuf>) -> Self {
        Self {
            ledger: ledger.into(),
            notify_url: None,
            notify_delays: notify::DELAYS.to_vec(),
            shopper_delay: SHOPPER_DELAY,
        }
    }
}

/// Serves HTTP/1.1 on `listener` until `stop` is cancelled; then lets answers under way leave for
/// half a second, writes what was begun, and returns. Dropping the future stops it too, unawaited.
///
/// # Errors
/// The ledger cannot be opened, or the notify URL is not an `http://` URL. Once it serves, it does
/// not fail: a connection that cannot be accepted is logged.
pub async fn run(listener: TcpListener, config: Config, stop: CancellationToken) -> io::Result<()> {
    // What runs beside the accept loop must not outlive a future that was dropped.
    let stop = stop.child_token();
    let _end_of_all = stop.clone().drop_guard();
    let url = config.notify_url.as_deref();
    let notifier = url.map(|url| Notifier::new(url, config.notify_delays)).transpose()?;
    let path = config.ledger.clone();
    let book = spawn_blocking(move || open(&path)).await.map_err(io::Error::other)??;
    let service = Arc::new(Service {
        book: Arc::new(Mutex::new(book)),
        ledger: config.ledger,
        notifier,
        heard: Heard::default(),
        shopper_delay: config.shopper_delay,
        tasks: TaskTracker::new(),
        stop,
    });
    service.stop.run_until_cancelled(server::accept(&listener, &service)).await;
    service.tasks.close();
    service.tasks.wait().await;
    Ok(())
}

fn open(path: &Path) -> io::Result<Book> {
    let (ledger, reading) = Ledger::open(path)?;
    for line in &reading.damaged {
        tracing::warn!(path = %path.display(), line, "a ledger line was cut while written");
    }
    Ok(Book::new(ledger, reading))
}

#[cfg(test)]
mod tests;
