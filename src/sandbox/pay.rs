//! `/order/pay`: a payment behaves as its auth code says.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;

use super::{
    amount::Amount,
    answers::{Refusal, Reply, done, json_answer},
    behaviour::{Behaviour, Callbacks, DeclinedWith, Ending, FailsWith, Then},
    fields::{Fields, Origin},
    ledger::Kind,
    orders::{Status, Trade},
    service::Service,
};

impl Service {
    pub(super) async fn pay(
        self: &Arc<Self>,
        fields: &Fields,
        origin: Origin,
    ) -> Result<Reply, Refusal> {
        let id = fields.name("orderId")?;
        let amount = fields.amount()?;
        let code = fields.optional_name("authCode")?.unwrap_or_default();
        match Behaviour::of(&code) {
            Behaviour::Charges(then, callbacks) => {
                self.charge_and(then, callbacks, id, amount, origin).await
            }
            Behaviour::StillPaying(ending) => self.still_paying(ending, id, amount, origin).await,
            Behaviour::Declines(with) => self.decline(with, id, amount).await,
            Behaviour::Fails(with, times) => {
                let order = id.clone();
                if self.on_book(move |book| book.fails_early(&order, times)).await? {
                    return fail_early(with);
                }
                let callbacks = Callbacks::UntilAcknowledged;
                self.charge_and(Then::Answers, callbacks, id, amount, origin).await
            }
        }
    }

    async fn charge_and(
        self: &Arc<Self>,
        then: Then,
        callbacks: Callbacks,
        id: String,
        amount: Amount,
        origin: Origin,
    ) -> Result<Reply, Refusal> {
        let trade = self.charge(&id, amount, origin).await?;
        let paid = done(&json!({
            "orderId": id,
            "status": Status::Paid as u8,
            "tradeNo": trade.number,
            "amount": trade.amount,
        }));
        self.announce(&id, trade, callbacks);
        match then {
            Then::Answers => Ok(Reply::Now(paid)),
            Then::AnswersAfter(delay) => Ok(Reply::After(delay, paid)),
            Then::Breaks => Err(Refusal::internal()),
            Then::Dies => Ok(Reply::Reset),
            Then::KeepsSilent => Ok(Reply::Silence),
        }
    }

    async fn still_paying(
        self: &Arc<Self>,
        ending: Ending,
        id: String,
        amount: Amount,
        origin: Origin,
    ) -> Result<Reply, Refusal> {
        let (order, asked) = (id.clone(), amount.clone());
        self.on_book(move |book| book.start_paying(&order, asked)).await?;
        let waiting = json!({
            "code": "0001",
            "msg": "USERPAYING",
            "data": {"orderId": id, "status": Status::Waiting as u8, "amount": amount},
        });
        let service = Arc::clone(self);
        match ending {
            Ending::Never => {}
            Ending::Success(delay) => self.later(delay, async move {
                match service.charge(&id, amount, origin).await {
                    Ok(trade) => service.announce(&id, trade, Callbacks::UntilAcknowledged),
                    Err(refusal) => tracing::debug!(order = id, %refusal, "paying ended unpaid"),
                }
            }),
            Ending::Failure(delay) => self.later(delay, async move {
                let order = id.clone();
                let failed = service.on_book(move |book| book.decline(&order, amount)).await;
                if let Err(refusal) = failed {
                    tracing::debug!(order = id, %refusal, "paying ended before it failed");
                }
            }),
        }
        Ok(Reply::Now(json_answer(StatusCode::OK, &waiting)))
    }

    async fn decline(
        &self,
        with: DeclinedWith,
        id: String,
        amount: Amount,
    ) -> Result<Reply, Refusal> {
        let body = json!({
            "code": "0051",
            "msg": "declined",
            "data": {"orderId": id, "status": Status::Failed as u8, "amount": amount},
        });
        self.on_book(move |book| book.decline(&id, amount)).await?;
        let status = match with {
            DeclinedWith::Ok200 => StatusCode::OK,
            DeclinedWith::PaymentRequired402 => StatusCode::PAYMENT_REQUIRED,
        };
        Ok(Reply::Now(json_answer(status, &body)))
    }

    async fn charge(&self, id: &str, amount: Amount, origin: Origin) -> Result<Trade, Refusal> {
        let order = id.to_owned();
        self.on_book(move |book| book.charge(Kind::Charge, &order, amount, &origin)).await
    }
}

fn fail_early(with: FailsWith) -> Result<Reply, Refusal> {
    match with {
        FailsWith::TooMany429 => Err(Refusal::too_many()),
        FailsWith::Unavailable503 => Err(Refusal::unavailable()),
        FailsWith::Error500 => Err(Refusal::internal()),
        FailsWith::Reset => Ok(Reply::Reset),
    }
}
