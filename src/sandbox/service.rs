//! The payment service itself: what each call does with the orders, the timers and the callbacks.
//! Paying, the call with the many faces, has a file of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::{sync::Mutex, task::spawn_blocking, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    answers::{Answer, Refusal, Reply, json_answer, success},
    behaviour::Callbacks,
    fields::{Fields, Origin},
    heard::Heard,
    ledger,
    notify::Notifier,
    orders::{Book, Order, Status, Trade},
};

/// Ledger lines in one answer; beyond it the caller must ask for an order.
const MAX_LEDGER_LINES: usize = 10_000;

/// What callers can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Pay,
    Cancel,
    Refund,
    Ship,
    GetResult,
    Notify,
    Notifications,
    Ledger,
    Health,
}

/// A running sandbox.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) ledger: PathBuf,
    pub(super) notifier: Option<Notifier>,
    pub(super) heard: Heard,
    pub(super) shopper_delay: Duration,
    /// Everything that runs beside the accept loop.
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Service {
    pub(super) async fn perform(
        self: &Arc<Self>,
        operation: Operation,
        fields: &Fields,
        origin: Origin,
    ) -> Result<Reply, Refusal> {
        match operation {
            Operation::Create => self.create(fields).await,
            Operation::Pay => self.pay(fields, origin).await,
            Operation::Cancel => self.cancel(fields, origin).await,
            Operation::Refund => self.refund(fields, origin).await,
            Operation::Ship => self.ship(fields).await,
            Operation::GetResult => self.get_result(fields).await,
            Operation::Notify => self.heard.hear(fields).map(Reply::Now),
            Operation::Notifications => {
                let heard = self.heard.of(fields)?;
                Ok(Reply::Now(json_answer(StatusCode::OK, &heard)))
            }
            Operation::Ledger => self.ledger_lines(fields).await,
            Operation::Health => Ok(success(&Value::Null)),
        }
    }

    async fn create(self: &Arc<Self>, fields: &Fields) -> Result<Reply, Refusal> {
        fields.name("goodsId")?;
        fields.name("userId")?;
        fields.count("num")?;
        let amount = fields.amount()?;
        let id = self.on_book(move |book| book.create(amount)).await?;
        let (service, order) = (Arc::clone(self), id.clone());
        self.later(self.shopper_delay, async move {
            let id = order.clone();
            match service.on_book(move |book| book.shopper_pays(&id)).await {
                Ok(Some(trade)) => service.announce(&order, trade, Callbacks::UntilAcknowledged),
                Ok(None) => {}
                Err(refusal) => tracing::warn!(order, %refusal, "the shopper could not pay"),
            }
        });
        let locator = format!("/order/get_result?orderId={id}");
        Ok(success(&json!({"order": id, "locator": locator})))
    }

    async fn cancel(&self, fields: &Fields, origin: Origin) -> Result<Reply, Refusal> {
        let id = fields.name("orderId")?;
        let order = id.clone();
        let status = self.on_book(move |book| book.cancel(&order, &origin)).await?;
        Ok(success(&json!({"orderId": id, "status": status as u8})))
    }

    async fn refund(&self, fields: &Fields, origin: Origin) -> Result<Reply, Refusal> {
        let id = fields.name("orderId")?;
        let refund_id = fields.name("refundId")?;
        let amount = fields.amount()?;
        let (order, refund) = (id.clone(), refund_id.clone());
        let trade = self.on_book(move |book| book.refund(&order, &refund, amount, &origin)).await?;
        Ok(success(&json!({
            "orderId": id,
            "refundId": refund_id,
            "status": Status::Refunded as u8,
            "tradeNo": trade.number,
            "amount": trade.amount,
        })))
    }

    async fn ship(&self, fields: &Fields) -> Result<Reply, Refusal> {
        let id = fields.name("orderId")?;
        let order = id.clone();
        let shipments = self.on_book(move |book| book.ship(&order)).await?;
        Ok(success(&json!({"orderId": id, "shipments": shipments})))
    }

    async fn get_result(&self, fields: &Fields) -> Result<Reply, Refusal> {
        let id = fields.name("orderId")?;
        let order = self
            .on_book(move |book| match book.find(&id) {
                Some(order) => Ok(result_of(&id, order)),
                None => Err(Refusal::unknown_order(&id)),
            })
            .await?;
        Ok(Reply::Now(order))
    }

    async fn ledger_lines(&self, fields: &Fields) -> Result<Reply, Refusal> {
        let order = fields.optional_name("orderId")?;
        let path = self.ledger.clone();
        let lines = self.on_book(move |_| ledger_json(&path, order.as_deref())).await?;
        Ok(Reply::Now(json_answer(StatusCode::OK, &lines)))
    }

    /// Runs `work` on the book, off the runtime's thread because it waits for the disk. Once begun
    /// it runs to its end, whatever becomes of the caller.
    pub(super) async fn on_book<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&mut Book) -> Result<T, Refusal> + Send + 'static,
    {
        let mut book = Arc::clone(&self.book).lock_owned().await;
        let done = spawn_blocking(move || {
            // After a failed write memory and disk may differ: no answer is better than a wrong one.
            if book.is_broken() { Err(Refusal::internal()) } else { work(&mut book) }
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the order book failed");
            Err(Refusal::internal())
        })
    }

    /// Starts the callbacks for one charge.
    pub(super) fn announce(self: &Arc<Self>, order: &str, trade: Trade, callbacks: Callbacks) {
        if self.notifier.is_none() || callbacks == Callbacks::None {
            return;
        }
        let (service, order) = (Arc::clone(self), order.to_owned());
        self.tasks.spawn(async move {
            if let Some(notifier) = &service.notifier {
                let announced = notifier.announce(&order, &trade, callbacks);
                service.stop.run_until_cancelled(announced).await;
            }
        });
    }

    /// Runs `work` after `delay`. The end of the sandbox cuts the wait, never the work.
    pub(super) fn later(&self, delay: Duration, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            if stop.run_until_cancelled(sleep(delay)).await.is_some() {
                work.await;
            }
        });
    }
}

/// The status stands at the top and in the data: real services are split on where they put it.
fn result_of(id: &str, order: &Order) -> Answer {
    let status = order.status as u8;
    let trade = order.trade.as_ref().map(|trade| trade.number.as_str());
    let data = json!({
        "order": id,
        "orderId": id,
        "status": status,
        "amount": order.amount,
        "tradeNo": trade,
    });
    let body = json!({"code": "0000", "msg": "success", "status": status, "data": data});
    json_answer(StatusCode::OK, &body)
}

fn ledger_json(path: &Path, order: Option<&str>) -> Result<Value, Refusal> {
    let reading = ledger::read(path)?;
    let asked = reading.lines.iter().filter(|line| order.is_none_or(|id| line.order == id));
    let lines: Vec<_> = asked.take(MAX_LEDGER_LINES + 1).collect();
    if lines.len() > MAX_LEDGER_LINES {
        let msg = format!("more than {MAX_LEDGER_LINES} lines: give an orderId, or read the file");
        return Err(Refusal::bad_input(msg));
    }
    Ok(json!(lines))
}
