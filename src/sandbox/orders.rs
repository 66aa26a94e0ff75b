//! The order book: what became of every order, and the only place where money moves.
//!
//! Every change is one blocking call on [`Book`]; what moved money is in the ledger before the book
//! believes it. Knows nothing about HTTP or time: timers and callbacks are the callers' business.

use std::{collections::HashMap, io};

use super::{
    amount::Amount,
    answers::Refusal,
    fields::Origin,
    ledger::{Kind, Ledger, Line, Reading, now},
};

/// Orders held in memory; beyond it new ones are refused.
const MAX_ORDERS: usize = 1_000_000;

/// Where an order stands, with the numbers of the wire format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Status {
    /// Created, or still paying.
    #[default]
    Waiting = 0,
    Paid = 1,
    Failed = 2,
    Cancelled = 3,
    Refunded = 4,
}

/// One charge.
#[derive(Debug, Clone)]
pub(super) struct Trade {
    pub(super) number: String,
    pub(super) amount: Amount,
}

/// One order.
#[derive(Debug, Clone, Default)]
pub(super) struct Order {
    pub(super) status: Status,
    pub(super) amount: Option<Amount>,
    /// The latest charge.
    pub(super) trade: Option<Trade>,
    /// Charges nobody has given back.
    standing: Vec<Trade>,
    /// Cancelled, paid before or not: payments are refused from now on.
    closed: bool,
    /// Created, and nobody but the shopper has touched it.
    awaits_shopper: bool,
    /// How often its goods left.
    shipments: u64,
}

impl Order {
    fn charged(&mut self, trade: Trade) {
        self.status = Status::Paid;
        self.amount = Some(trade.amount.clone());
        self.awaits_shopper = false;
        self.trade = Some(trade.clone());
        self.standing.push(trade);
    }
}

/// All orders, and the ledger that judges them.
#[derive(Debug)]
pub(super) struct Book {
    orders: HashMap<String, Order>,
    /// How often a payment failed before it started, by order.
    early_failures: HashMap<String, u64>,
    ledger: Ledger,
}

impl Book {
    /// Takes up the orders that `reading` shows as paid or refunded. Orders that moved no money
    /// are in no ledger and do not survive a restart.
    pub(super) fn new(ledger: Ledger, reading: Reading) -> Self {
        let mut orders: HashMap<String, Order> = HashMap::new();
        for line in reading.lines {
            let order = orders.entry(line.order).or_default();
            if line.kind == Kind::Refund {
                order.standing.retain(|trade| trade.number != line.trade_no);
                order.status = Status::Refunded;
                order.closed |= line.refund_id.is_none();
            } else {
                order.charged(Trade { number: line.trade_no, amount: line.amount });
            }
        }
        Self { orders, early_failures: HashMap::new(), ledger }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.ledger.is_broken()
    }

    pub(super) fn find(&self, id: &str) -> Option<&Order> {
        self.orders.get(id)
    }

    /// A new order, unpaid. Returns its number.
    pub(super) fn create(&mut self, amount: Amount) -> Result<String, Refusal> {
        let id = new_number("S")?;
        let order = self.order(&id)?;
        order.amount = Some(amount);
        order.awaits_shopper = true;
        Ok(id)
    }

    /// Whether a payment told to fail before it starts still does, `times` at most.
    pub(super) fn fails_early(&mut self, id: &str, times: Option<u64>) -> Result<bool, Refusal> {
        let Some(times) = times else { return Ok(true) };
        if self.early_failures.len() >= MAX_ORDERS && !self.early_failures.contains_key(id) {
            return Err(Refusal::full());
        }
        let failed = self.early_failures.entry(id.to_owned()).or_default();
        let fails = *failed < times;
        *failed += u64::from(fails);
        Ok(fails)
    }

    /// Charges, as often as it is called: deduplicating is what the sandbox is here to judge.
    pub(super) fn charge(
        &mut self,
        kind: Kind,
        id: &str,
        amount: Amount,
        origin: &Origin,
    ) -> Result<Trade, Refusal> {
        self.payable(id)?;
        let trade = Trade { number: new_number("T")?, amount };
        self.ledger.append(&[line(kind, id, &trade, origin, None)])?;
        self.order(id)?.charged(trade.clone());
        Ok(trade)
    }

    /// The shopper pays, unless somebody else touched the created order first.
    pub(super) fn shopper_pays(&mut self, id: &str) -> Result<Option<Trade>, Refusal> {
        let waiting = self.find(id).filter(|order| order.awaits_shopper);
        let Some(amount) = waiting.and_then(|order| order.amount.clone()) else {
            return Ok(None);
        };
        self.charge(Kind::Shopper, id, amount, &Origin::default()).map(Some)
    }

    /// The shopper has begun to pay; [`Book::charge`] or [`Book::decline`] ends it.
    pub(super) fn start_paying(&mut self, id: &str, amount: Amount) -> Result<(), Refusal> {
        let order = self.payable(id)?;
        order.awaits_shopper = false;
        if order.standing.is_empty() {
            order.status = Status::Waiting;
            order.amount = Some(amount);
        }
        Ok(())
    }

    /// The payment failed for good. Money that already moved stays moved.
    pub(super) fn decline(&mut self, id: &str, amount: Amount) -> Result<(), Refusal> {
        self.start_paying(id, amount)?;
        let order = self.order(id)?;
        if order.standing.is_empty() {
            order.status = Status::Failed;
        }
        Ok(())
    }

    /// Cancels what is unpaid and gives back what is paid, once; an order never heard of is
    /// cancelled too, so that its payment is refused should it still arrive.
    pub(super) fn cancel(&mut self, id: &str, origin: &Origin) -> Result<Status, Refusal> {
        let standing = self.order(id)?.standing.clone();
        if !standing.is_empty() {
            let refund = |trade| line(Kind::Refund, id, trade, origin, None);
            self.ledger.append(&standing.iter().map(refund).collect::<Vec<_>>())?;
        }
        let order = self.order(id)?;
        order.standing.clear();
        order.closed = true;
        order.awaits_shopper = false;
        order.status = if order.trade.is_some() { Status::Refunded } else { Status::Cancelled };
        Ok(order.status)
    }

    /// Gives `amount` back, as often as it is called. Returns the charge it belongs to.
    pub(super) fn refund(
        &mut self,
        id: &str,
        refund_id: &str,
        amount: Amount,
        origin: &Origin,
    ) -> Result<Trade, Refusal> {
        let order = self.find(id).ok_or_else(|| Refusal::unknown_order(id))?;
        let charge = order.standing.last().or(order.trade.as_ref());
        let number = charge.ok_or_else(|| Refusal::unpaid(id))?.number.clone();
        let trade = Trade { number, amount };
        self.ledger.append(&[line(Kind::Refund, id, &trade, origin, Some(refund_id))])?;
        let order = self.order(id)?;
        order.standing.pop();
        order.status = Status::Refunded;
        Ok(trade)
    }

    /// The goods leave, as often as it is called. Returns how often they have.
    pub(super) fn ship(&mut self, id: &str) -> Result<u64, Refusal> {
        let order = self.orders.get_mut(id).ok_or_else(|| Refusal::unknown_order(id))?;
        if order.standing.is_empty() {
            return Err(Refusal::unpaid(id));
        }
        order.shipments += 1;
        Ok(order.shipments)
    }

    fn payable(&mut self, id: &str) -> Result<&mut Order, Refusal> {
        let order = self.order(id)?;
        if order.closed { Err(Refusal::cancelled(id)) } else { Ok(order) }
    }

    /// The order `id`, booked on the fly when it was never created.
    fn order(&mut self, id: &str) -> Result<&mut Order, Refusal> {
        if self.orders.len() >= MAX_ORDERS && !self.orders.contains_key(id) {
            return Err(Refusal::full());
        }
        Ok(self.orders.entry(id.to_owned()).or_default())
    }
}

fn line(kind: Kind, id: &str, trade: &Trade, origin: &Origin, refund_id: Option<&str>) -> Line {
    Line {
        at: now(),
        kind,
        order: id.to_owned(),
        amount: trade.amount.clone(),
        trade_no: trade.number.clone(),
        key: origin.key.clone(),
        fence: origin.fence.clone(),
        refund_id: refund_id.map(str::to_owned),
    }
}

/// A number nobody has used: 96 random bits, so that restarts need no counter on disk.
pub(super) fn new_number(prefix: &str) -> io::Result<String> {
    let mut bits = [0; 12];
    getrandom::fill(&mut bits).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bits.iter().fold(prefix.to_owned(), |number, byte| format!("{number}{byte:02x}")))
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;
