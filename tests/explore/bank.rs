//! The payment service: it charges whenever it is told to, for counting charges is what this is
//! about; it can be asked, it pays back, and it refuses what was cancelled before it came.

use super::wire::{Request, answer};

/// Its books, of the one order there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bank {
    /// Charges, by the fence they came under.
    pub charges: Vec<u64>,
    /// Charges that were paid back.
    pub paid_back: usize,
    /// Whether the order was cancelled here.
    pub cancelled: bool,
    /// Notifications it acknowledged.
    pub acknowledged: usize,
    /// Whether it ever said that there is no such order.
    pub said_absent: bool,
    /// Whether it ever said that it cannot cancel.
    pub said_firm: bool,
    /// Whether a charge cannot be paid back by a cancel.
    pub firm: bool,
    /// Whether a cancel finds no order, whatever was charged.
    pub forgets: bool,
}

impl Bank {
    /// Charges that stand.
    pub fn net(&self) -> usize {
        self.charges.len() - self.paid_back
    }

    /// Does what is asked. `on_its_way` tells whether a payment was sent and has not arrived: that
    /// there is no such order is said only when nothing is, which is what SETTLE_DELAY stands for.
    pub fn hear(&mut self, request: &Request, on_its_way: bool) -> Vec<u8> {
        match (request.method.as_str(), request.path.split('?').next().unwrap_or_default()) {
            ("post", "/pay") if self.cancelled => answer(409, r#"{"status":"cancelled before"}"#),
            ("post", "/pay") => {
                self.charges.push(request.fence.unwrap_or(0));
                answer(200, &format!(r#"{{"status":"paid","charge":{}}}"#, self.charges.len()))
            }
            ("get", "/result") if self.cancelled => answer(410, r#"{"status":"cancelled"}"#),
            ("get", "/result") if !self.charges.is_empty() => {
                answer(200, r#"{"status":"paid","by":"query"}"#)
            }
            ("get", "/result") if on_its_way => answer(200, r#"{"status":"paying"}"#),
            ("get", "/result") => {
                self.said_absent = true;
                answer(404, "{}")
            }
            ("post", "/cancel") if self.forgets => answer(404, "{}"),
            ("post", "/cancel") if self.firm && !self.charges.is_empty() => {
                self.said_firm = true;
                answer(409, "{}")
            }
            ("post", "/cancel") => {
                self.paid_back = self.charges.len();
                self.cancelled = true;
                answer(200, "{}")
            }
            ("post", "/notify") => {
                self.acknowledged += 1;
                answer(200, "success")
            }
            (method, path) => panic!("nobody asks {method} {path}"),
        }
    }

    /// Declines to begin.
    pub fn decline() -> Vec<u8> {
        answer(429, r#"{"status":"busy"}"#)
    }
}
