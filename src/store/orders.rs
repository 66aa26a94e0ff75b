//! The life of an order's claim: claim, renew, settle, abandon, lapse.

use super::error::StoreError;
use super::record::{self, Found};
use super::text::Begun;
use super::{Store, lifecycle, parts, script};
use crate::model::identity::{AttemptId, Order, Partition};
use crate::model::order::{State, words};
use crate::model::response::Kept;
use crate::model::trace::TraceContext;
use redis::Cmd;
use std::sync::Arc;
use std::time::Duration;

/// What a claim asks for.
#[derive(Debug)]
pub struct ClaimAsk<'a> {
    /// The order.
    pub order: &'a Order,
    /// Who asks.
    pub attempt: &'a AttemptId,
    /// How long the lease holds without renewal.
    pub lease: Duration,
    /// How long the record is kept while it is not final.
    pub keep: Duration,
    /// Digests of what was asked, one per secret, comma-separated, the writing one first.
    pub fingerprints: &'a str,
    /// Digests of the caller's headers, likewise.
    pub callers: &'a str,
    /// States the claim may start from.
    pub grant_from: &'a [State],
    /// Should its outcome become unknown: how long after that it is first asked about, where it can.
    pub ask: Option<Duration>,
    /// The token presented, if any.
    pub token: Option<&'a SpentToken>,
    /// The span that this attempt is told of in, for those who meet its order later.
    pub trace: Option<TraceContext>,
    /// Whether it is to be told how long the record of an order that has ended is kept.
    pub left: bool,
}

/// A token as a claim spends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentToken {
    /// Hash of its text.
    pub hash: String,
    /// For a token that was free and has just been bound: when it runs out, ms since 1970; 0 for
    /// one that was issued for its order.
    pub until: u64,
}

/// What a claim found.
#[derive(Debug, PartialEq)]
pub enum Claim {
    /// The lease is this attempt's.
    Granted {
        /// The order's fence, raised for this attempt.
        fence: u64,
        /// How many attempts the order has had, this one counted.
        attempts: u64,
        /// The state it left.
        from: State,
        /// What its record says, where that is known: it makes the settle cheaper.
        begun: Option<Arc<Begun>>,
    },
    /// The order stands in another state.
    Found(Found),
    /// In flight, but the lease is gone; the fence it was held under.
    Lapsed {
        /// The fence the lost lease was held under.
        fence: u64,
    },
    /// Same key, other request.
    Mismatch(State),
    /// It may start from that state, but another order of its number is moving their lifecycle.
    Moving(State),
    /// It may start, but not while its lifecycle stands where it does.
    Illegal(State, String),
    /// Unknown, expired, spent, of another order or another caller.
    TokenInvalid,
    /// This attempt was abandoned, or another took its place, before its claim arrived.
    Voided,
}

impl Claim {
    /// The script's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Claim::Granted { .. } => "granted",
            Claim::Found(_) => "found",
            Claim::Lapsed { .. } => "lapsed",
            Claim::Mismatch(_) => "mismatch",
            Claim::Moving(_) => "moving",
            Claim::Illegal(..) => "illegal",
            Claim::TokenInvalid => "token-invalid",
            Claim::Voided => "voided",
        }
    }
}

/// What a renewal found.
#[derive(Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease holds again.
    Renewed,
    /// It had run out, but nobody had noticed; it holds again.
    Regained,
    /// The order moved on, to this state.
    Lost(State),
}

/// What became of an attempt.
#[derive(Debug)]
pub struct Settlement<'a> {
    /// The order.
    pub order: &'a Order,
    /// Whose attempt.
    pub attempt: &'a AttemptId,
    /// Under which fence.
    pub fence: u64,
    /// The state it ended in.
    pub to: State,
    /// How long the record is kept from now.
    pub keep: Duration,
    /// The response.
    pub kept: &'a Kept,
    /// Why, in a few words without secrets.
    pub why: &'a str,
    /// What its claim left, where that is known.
    pub begun: Option<&'a Begun>,
}

/// What a settle found.
#[derive(Debug, PartialEq, Eq)]
pub enum Settle {
    /// Written.
    Settled,
    /// Written, but its lifecycle was not moved: another order's move led it to this state, or is
    /// under way from there.
    Astray(String),
    /// The order is being cancelled and stays so; outcome and response are kept meanwhile.
    Kept,
    /// The order is another attempt's, under this fence, and stands in this state; nothing was
    /// written.
    Fenced(u64, State),
    /// The order stands in this state, which does not allow it; nothing was written.
    Refused(State),
    /// There is no such record.
    Gone,
}

impl Settle {
    /// The script's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Settle::Settled => "settled",
            Settle::Astray(_) => "astray",
            Settle::Kept => "kept",
            Settle::Fenced(..) => "fenced",
            Settle::Refused(_) => "refused",
            Settle::Gone => "gone",
        }
    }
}

/// What an abandon found.
#[derive(Debug, PartialEq, Eq)]
pub enum Abandon {
    /// The claim is given back; where the order stands now.
    Abandoned(State),
    /// There was no claim; should it still arrive, it is refused. Where the order stands.
    Voided(State),
    /// The order has moved on, to this state.
    Refused(State),
}

/// What a lapse found.
#[derive(Debug, PartialEq, Eq)]
pub enum Lapse {
    /// The order is unknown now; the fence it was held under.
    Lapsed(u64),
    /// The lease stands for this long yet.
    Held(Duration),
    /// The order is not in flight, or under another fence.
    Moved(State),
}

impl Store {
    /// Spends the token, takes the lease and raises the fence, or says what stands.
    ///
    /// # Errors
    /// When Redis cannot be asked; [`StoreError::may_have_happened`] tells whether the claim may
    /// stand all the same.
    pub async fn claim(&self, ask: &ClaimAsk<'_>) -> Result<Claim, StoreError> {
        let order = ask.order;
        let record = self.names.record(order);
        let lease = self.names.lease(order);
        let due = self.names.due(order.partition);
        let unknown = self.names.unknown(order.partition);
        let hash = ask.token.map_or("", |token| token.hash.as_str());
        let lifecycle = self.names.lifecycle(order);
        let is_named = ask.token.is_some() || lifecycle.is_some();
        let token = is_named.then(|| self.names.token(order.partition, hash));
        let mut keys = vec![&*record, &lease, &due, &unknown];
        keys.extend(token.as_deref().into_iter().chain(lifecycle.as_deref()));
        let grant_from = words(ask.grant_from);
        let asked = parts::asked(order, ask.callers, ask.ask, ask.trace);
        let arguments = |command: &mut Cmd| {
            command
                .arg(&*order.id)
                .arg(ask.attempt.as_str())
                .arg(millis(ask.lease))
                .arg(millis(ask.keep.max(ask.lease.saturating_mul(2))))
                .arg(ask.fingerprints)
                .arg(&grant_from)
                .arg(&self.config.by)
                .arg(&asked);
            if ask.left || ask.token.is_some() {
                command.arg(if ask.left { "yes" } else { "" });
            }
            if let Some(token) = ask.token {
                command.arg(&token.hash).arg(token.until).arg(ask.callers);
            }
        };
        let (word, mut reply) = self.run_confirmed(&script::CLAIM, &keys, arguments).await?;
        Ok(match word.as_str() {
            "granted" => {
                let (fence, attempts) = (reply.number()?, reply.number()?);
                let (from, at) = (record::state(&mut reply)?, reply.number()?);
                let is_first = attempts == 1 && from == State::None && at > 0;
                let claimed = (ask.attempt, at, &*self.config.by);
                let begun = is_first.then(|| Begun::first(claimed, ask.fingerprints, hash, &asked));
                Claim::Granted { fence, attempts, from, begun: begun.map(Arc::new) }
            }
            "found" => Claim::Found(record::found(&mut reply, order, &self.config.secrets)?),
            // The format that a record begins with.
            "3" => Claim::Found(record::ended(reply.all(), 0, order, &self.config.secrets)?),
            "done" => {
                let (raw, left) = (reply.bytes()?, reply.number::<i64>()?);
                Claim::Found(record::ended(raw, left, order, &self.config.secrets)?)
            }
            "lapsed" => Claim::Lapsed { fence: reply.number()? },
            "mismatch" => Claim::Mismatch(record::state(&mut reply)?),
            "moving" => Claim::Moving(record::state(&mut reply)?),
            "illegal" => Claim::Illegal(record::state(&mut reply)?, reply.text()?),
            "token-invalid" => Claim::TokenInvalid,
            "voided" => Claim::Voided,
            other => return Err(reply.unknown(other)),
        })
    }

    /// Holds the lease for `lease` from now.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn renew(
        &self,
        order: &Order,
        attempt: &AttemptId,
        fence: u64,
        lease: Duration,
    ) -> Result<Renewal, StoreError> {
        let keys = [self.names.record(order), self.names.lease(order)];
        let (word, mut reply) = self
            .run(&script::RENEW, &[&keys[0], &keys[1]], |command| {
                command.arg(attempt.as_str()).arg(fence).arg(millis(lease));
            })
            .await?;
        Ok(match word.as_str() {
            "renewed" => Renewal::Renewed,
            "regained" => Renewal::Regained,
            "lost" => Renewal::Lost(record::state(&mut reply)?),
            other => return Err(reply.unknown(other)),
        })
    }

    /// Writes what became of an attempt and drops its lease.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn settle(&self, settlement: &Settlement<'_>) -> Result<Settle, StoreError> {
        let Settlement { order, attempt, fence, to, keep, kept, why, begun } = settlement;
        let record = self.names.record(order);
        let lease = self.names.lease(order);
        let due = self.names.due(order.partition);
        let unknown = self.names.unknown(order.partition);
        let channel = self.names.settled_channel();
        let from = words(to.entered_from());
        let answer = parts::answered(kept, order, &self.config.secrets);
        let is_plain = to.is_final() && order.part.is_none();
        let begun = begun.filter(|begun| is_plain && begun.is_of(attempt, *fence));
        let by = &*self.config.by;
        let ended = begun.map(|begun| begun.ended(attempt, (*to, by, why), answer.len()));
        let mut ended = ended.unwrap_or_default();
        let answer_at = ended.len() + 1;
        ended.extend_from_slice(&answer);
        // A large one would be held twice until Redis has it.
        drop(answer);
        let line = begun.map_or(&b""[..], |begun| begun.line());
        let (fence, answer_at) = (fence.to_string(), answer_at.to_string());
        let told =
            [attempt.as_str(), &fence, to.word(), &from, &answer_at, channel, by, why].join(" ");
        let lifecycle = self.names.lifecycle(order);
        let keys = lifecycle::keys(&[&record, &lease, due, unknown], &lifecycle);
        let (word, mut reply) = self
            .run(&script::SETTLE, &keys, |command| {
                command
                    .arg(&*order.id)
                    .arg(millis(*keep))
                    .arg(line)
                    .arg(line.len().saturating_sub(1))
                    .arg(&ended)
                    .arg(&told);
            })
            .await?;
        Ok(match word.as_str() {
            "settled" => Settle::Settled,
            "astray" => Settle::Astray(reply.text()?),
            "kept" => Settle::Kept,
            "fenced" => Settle::Fenced(reply.number()?, record::state(&mut reply)?),
            "refused" => Settle::Refused(record::state(&mut reply)?),
            "gone" => Settle::Gone,
            other => return Err(reply.unknown(other)),
        })
    }

    /// Gives a claim back because nothing was sent, whether or not the claim ever arrived.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn abandon(
        &self,
        order: &Order,
        attempt: &AttemptId,
        token: Option<&SpentToken>,
        keep: Duration,
        why: &str,
    ) -> Result<Abandon, StoreError> {
        let record = self.names.record(order);
        let lease = self.names.lease(order);
        let hash = token.map_or("", |token| token.hash.as_str());
        let token = self.names.token(order.partition, hash);
        let due = self.names.due(order.partition);
        let unknown = self.names.unknown(order.partition);
        let channel = self.names.settled_channel();
        let lifecycle = self.names.lifecycle(order);
        let keys = lifecycle::keys(&[&record, &lease, &token, due, unknown], &lifecycle);
        let (word, mut reply) = self
            .run(&script::ABANDON, &keys, |command| {
                command
                    .arg(&*order.id)
                    .arg(attempt.as_str())
                    .arg(millis(keep))
                    .arg(channel)
                    .arg(&self.config.by)
                    .arg(why);
            })
            .await?;
        Ok(match word.as_str() {
            "abandoned" => Abandon::Abandoned(record::state(&mut reply)?),
            "voided" => Abandon::Voided(record::state(&mut reply)?),
            "refused" => Abandon::Refused(record::state(&mut reply)?),
            other => return Err(reply.unknown(other)),
        })
    }

    /// Makes an order in flight whose lease is gone `unknown`; `fence` is the one seen without a
    /// lease, `None` for whichever stands.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn lapse(
        &self,
        partition: Partition,
        id: &str,
        fence: Option<u64>,
        keep: Duration,
    ) -> Result<Lapse, StoreError> {
        let record = self.names.of(partition, "order", id);
        let lease = self.names.of(partition, "lease", id);
        let due = self.names.due(partition);
        let unknown = self.names.unknown(partition);
        let cancelling = self.names.cancelling(partition);
        let channel = self.names.settled_channel();
        let fence = fence.map_or(String::new(), |fence| fence.to_string());
        let (word, mut reply) = self
            .run(&script::LAPSE, &[&record, &lease, due, unknown, cancelling], |command| {
                command.arg(id).arg(&fence).arg(millis(keep)).arg(channel).arg(&self.config.by);
            })
            .await?;
        Ok(match word.as_str() {
            "lapsed" => Lapse::Lapsed(reply.number()?),
            "held" => Lapse::Held(Duration::from_millis(reply.number()?)),
            "moved" => Lapse::Moved(record::state(&mut reply)?),
            other => return Err(reply.unknown(other)),
        })
    }
}

/// A hundred years: Redis refuses a TTL that ends after its clock does, and it would do so in the
/// middle of a script.
const LONGEST_MS: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// Whole milliseconds, at least one: Redis refuses a TTL of zero.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST_MS)
}
