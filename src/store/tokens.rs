//! Tokens: one-shot rights to start a payment. Only hashes of them are stored.

use super::error::StoreError;
use super::orders::millis;
use super::record::at;
use super::{Store, script};
use crate::model::identity::Order;
use crate::model::token::{Token, TokenFor};
use std::time::{Duration, SystemTime};

impl Store {
    /// Writes a token down; says when it runs out.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again with the same token is safe.
    pub async fn issue_token(
        &self,
        token: &Token,
        caller: &str,
        route: &str,
        ttl: Duration,
    ) -> Result<SystemTime, StoreError> {
        let (partition, order) = match token.good_for() {
            TokenFor::Order(order) => (order.partition, &*order.id),
            TokenFor::Any(partition) => (*partition, ""),
        };
        let name = self.names.token(partition, token.hash());
        let (word, mut reply) = self
            .run(&script::ISSUE_TOKEN, &[&name], |command| {
                command.arg(caller).arg(route).arg(order).arg(millis(ttl));
            })
            .await?;
        match word.as_str() {
            "issued" => Ok(at(reply.number()?)),
            other => Err(reply.unknown(other)),
        }
    }

    /// Binds a token that was issued without a key to the order that presents it; says when it
    /// runs out (ms since 1970), or `None` when it is not good for that order.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn bind_token(
        &self,
        name: (crate::model::identity::Partition, &str),
        callers: &str,
        order: &Order,
    ) -> Result<Option<u64>, StoreError> {
        let name = self.names.token(name.0, name.1);
        let (word, mut reply) = self
            .run(&script::BIND_TOKEN, &[&name], |command| {
                command.arg(callers).arg(&*order.route).arg(&*order.id);
            })
            .await?;
        match word.as_str() {
            "bound" => Ok(Some(reply.number()?)),
            "invalid" => Ok(None),
            other => Err(reply.unknown(other)),
        }
    }
}
