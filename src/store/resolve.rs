//! Orders of unknown outcome, and those being cancelled: taken for a turn, ended, let run again.

use super::error::StoreError;
use super::orders::millis;
use super::record::{self, Record, since_1970};
use super::script::Reply;
use super::{Store, lifecycle, parts, script};
use crate::model::identity::{AttemptId, Order};
use crate::model::order::{State, words};
use crate::model::response::Kept;
use std::time::{Duration, SystemTime};

/// What taking an order for a turn asks for.
#[derive(Debug)]
pub struct AdoptAsk<'a> {
    /// The order.
    pub order: &'a Order,
    /// Names the turn.
    pub turn: &'a AttemptId,
    /// The order as it was seen.
    pub seen: &'a Record,
    /// How long the turn is when it is asked about; `None` where that cannot be done here.
    pub query: Option<Duration>,
    /// How long it is when it is cancelled; likewise.
    pub cancel: Option<Duration>,
    /// For how long nobody else takes it at the least, while a call is made.
    pub hold: Duration,
    /// When its payment is old enough to be cancelled, by Redis' clock; until then the turn lasts.
    pub cancel_from: Option<SystemTime>,
    /// How long it may be unknown before it is cancelled; without one it never is.
    pub deadline: Option<Duration>,
}

/// What taking an order for a turn found.
#[derive(Debug, PartialEq, Eq)]
pub enum Adopt {
    /// The turn is ours.
    Adopted {
        /// `unknown`: to be asked about. `cancelling`: to be cancelled.
        state: State,
        /// For how long nothing was heard of its attempt.
        quiet: Duration,
        /// How long the turn is, unless its call takes longer.
        turn: Duration,
        /// For how much longer it may be unknown; `None` where nothing ends that.
        left: Option<Duration>,
    },
    /// It is due, but nobody here can make the call: it is left as it is, to others.
    Unable {
        /// `unknown` or `cancelling`.
        state: State,
        /// For how long nothing was heard of its attempt.
        quiet: Duration,
        /// For how much longer it may be unknown; `None` where nothing ends that.
        left: Option<Duration>,
    },
    /// It is not due for so long, or somebody else's turn lasts so long.
    Early(Duration),
    /// It is not as it was seen any more, or held: nobody is to ask.
    Moved(State),
}

/// What holding a turn for longer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The order is due again after so long.
    Held,
    /// The turn is over already, by somebody else's doing or by time.
    Moved,
}

/// What becomes of the stored response when an order ends.
#[derive(Debug)]
pub enum Word<'a> {
    /// This one takes its place: it was asked for, and says nothing of an order that is being
    /// cancelled by now.
    Response(&'a Kept),
    /// It stays.
    Keep,
    /// It stays if the attempt itself ended so; one that said "still paying" goes.
    IfTold,
    /// It stays; the word is that there is no such order, which is not believed of one that was told
    /// to be paid.
    Absent,
}

/// Somebody's word on how an order ended.
#[derive(Debug)]
pub struct Resolution<'a> {
    /// The order.
    pub order: &'a Order,
    /// Names the call.
    pub turn: &'a AttemptId,
    /// The fence the word is about; `None` for any.
    pub fence: Option<u64>,
    /// The final state.
    pub to: State,
    /// How long the record is kept from now.
    pub keep: Duration,
    /// The response.
    pub word: Word<'a>,
    /// Who says so, where it is not this replica's own finding; no spaces.
    pub by: Option<&'a str>,
    /// Why, in a few words without secrets, on one line.
    pub why: &'a str,
}

/// What ending an order found.
#[derive(Debug, PartialEq, Eq)]
pub enum Resolve {
    /// Written.
    Resolved,
    /// Written, but its lifecycle was not moved: another order's move led it to this state, or is
    /// under way from there.
    Astray(String),
    /// Its attempt still runs, and holds its lease for so long.
    Held(Duration),
    /// Another attempt has begun, under this fence.
    Fenced(u64),
    /// It is being cancelled and stays so; that it was paid is kept meanwhile.
    Kept,
    /// It was told to be paid, and the word is that there is no such order.
    Paid,
    /// The order stands in this state, which does not allow it.
    Refused(State),
    /// There is no such record.
    Gone,
}

/// Somebody's word that an order of unknown outcome may run again.
#[derive(Debug)]
pub struct Permission<'a> {
    /// The order.
    pub order: &'a Order,
    /// Names the call, and nothing else.
    pub turn: &'a AttemptId,
    /// The fence the permission is about; `None` for any.
    pub fence: Option<u64>,
    /// How long the record is kept from now.
    pub keep: Duration,
    /// Whether one that was a dead letter is queued again as well.
    pub letters: bool,
    /// Who permits it, where it is not this replica's own finding; no spaces.
    pub by: Option<&'a str>,
    /// Why, in a few words without secrets, on one line.
    pub why: &'a str,
}

/// What letting an order run again found.
#[derive(Debug, PartialEq, Eq)]
pub enum Release {
    /// This call lets it, whether by a duplicate or out of the buffer.
    Released,
    /// So it might before: another call permitted it.
    Again,
    /// Another attempt has begun, under this fence.
    Fenced(u64),
    /// It was a dead letter, which this permission does not speak of.
    Dead,
    /// It is not of unknown outcome but in this state.
    Refused(State),
    /// There is no such record.
    Gone,
}

/// The states somebody's word may end: those in which something may have been sent. The rest ends
/// otherwise (a tombstone, an entry off its queue).
fn resolved_from(to: State, word: &Word<'_>) -> Vec<State> {
    let from = match word {
        Word::Response(_) => to.told_from(),
        Word::Keep | Word::IfTold | Word::Absent => to.entered_from().to_vec(),
    };
    let sent = [State::InFlight, State::Unknown, State::Cancelling];
    from.into_iter().filter(|from| sent.contains(from)).collect()
}

impl Store {
    /// Takes an overdue order for one turn, until its next due time, which is written with it.
    ///
    /// # Errors
    /// When Redis cannot be asked; a turn that was taken all the same only delays the order.
    pub async fn adopt(&self, ask: &AdoptAsk<'_>) -> Result<Adopt, StoreError> {
        let partition = ask.order.partition;
        let record = self.names.record(ask.order);
        let due = self.names.due(partition);
        let unknown = self.names.unknown(partition);
        let cancelling = self.names.cancelling(partition);
        let (word, mut reply) = self
            .run(&script::ADOPT, &[&record, due, unknown, cancelling], |command| {
                command
                    .arg(&*ask.order.id)
                    .arg(ask.turn.as_str())
                    .arg(ask.seen.fence)
                    .arg(ask.seen.asks)
                    .arg(ask.query.map_or(0, millis))
                    .arg(ask.cancel.map_or(0, millis))
                    .arg(millis(ask.hold))
                    .arg(ask.cancel_from.map_or(0, since_1970))
                    .arg(ask.deadline.map_or(0, millis))
                    .arg(words(State::Cancelling.entered_from()))
                    .arg(&self.config.by);
            })
            .await?;
        Ok(match word.as_str() {
            "adopted" => Adopt::Adopted {
                state: record::state(&mut reply)?,
                quiet: Duration::from_millis(reply.number()?),
                turn: Duration::from_millis(reply.number()?),
                left: left(&mut reply)?,
            },
            "unable" => Adopt::Unable {
                state: record::state(&mut reply)?,
                quiet: Duration::from_millis(reply.number()?),
                left: left(&mut reply)?,
            },
            "early" => Adopt::Early(Duration::from_millis(reply.number()?)),
            "moved" => Adopt::Moved(record::state(&mut reply)?),
            other => return Err(reply.unknown(other)),
        })
    }

    /// Keeps a turn for longer, or ends it: the order is due again after `wait`.
    ///
    /// # Errors
    /// When Redis cannot be asked; the order is due when it was to be, or so.
    pub async fn hold(
        &self,
        order: &Order,
        turn: &AttemptId,
        wait: Duration,
    ) -> Result<Hold, StoreError> {
        let record = self.names.record(order);
        let due = self.names.due(order.partition);
        let wait = if wait.is_zero() { 0 } else { millis(wait) };
        let (word, reply) = self
            .run(&script::HOLD, &[&record, due], |command| {
                command.arg(&*order.id).arg(turn.as_str()).arg(wait);
            })
            .await?;
        Ok(match word.as_str() {
            "held" => Hold::Held,
            "moved" => Hold::Moved,
            other => return Err(reply.unknown(other)),
        })
    }

    /// Makes an order final on somebody's word.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn resolve(&self, resolution: &Resolution<'_>) -> Result<Resolve, StoreError> {
        let Resolution { order, turn, fence, to, keep, word, by, why } = resolution;
        let record = self.names.record(order);
        let lease = self.names.lease(order);
        let due = self.names.due(order.partition);
        let unknown = self.names.unknown(order.partition);
        let cancelling = self.names.cancelling(order.partition);
        let request = self.names.request(order);
        let fence = fence.map_or(String::new(), |fence| fence.to_string());
        let answer = match word {
            Word::Response(kept) => parts::answered(kept, order, &self.config.secrets),
            Word::Keep => b"keep".into(),
            Word::IfTold => b"told".into(),
            Word::Absent => b"absent".into(),
        };
        let lifecycle = self.names.lifecycle(order);
        let keys =
            lifecycle::keys(&[&record, &lease, due, unknown, cancelling, &request], &lifecycle);
        let (word, mut reply) = self
            .run(&script::RESOLVE, &keys, |command| {
                command
                    .arg(&*order.id)
                    .arg(turn.as_str())
                    .arg(&fence)
                    .arg(to.word())
                    .arg(words(&resolved_from(*to, word)))
                    .arg(millis(*keep))
                    .arg(&*answer)
                    .arg(self.names.settled_channel())
                    .arg(by.unwrap_or(&self.config.by))
                    .arg(why);
            })
            .await?;
        Ok(match word.as_str() {
            "resolved" => Resolve::Resolved,
            "astray" => Resolve::Astray(reply.text()?),
            "held" => Resolve::Held(Duration::from_millis(reply.number()?)),
            "kept" => Resolve::Kept,
            "paid" => Resolve::Paid,
            "fenced" => Resolve::Fenced(reply.number()?),
            "refused" => Resolve::Refused(record::state(&mut reply)?),
            "gone" => Resolve::Gone,
            other => return Err(reply.unknown(other)),
        })
    }

    /// Lets an order of unknown outcome run again: its next duplicate may, or a worker, if it was
    /// accepted into the buffer.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again by the same name is safe.
    pub async fn release(&self, permission: &Permission<'_>) -> Result<Release, StoreError> {
        let Permission { order, turn, fence, keep, letters, by, why } = permission;
        let record = self.names.record(order);
        let lease = self.names.lease(order);
        let due = self.names.due(order.partition);
        let unknown = self.names.unknown(order.partition);
        let (request, queue) = (self.names.request(order), self.names.queue(order.partition));
        let fence = fence.map_or(String::new(), |fence| fence.to_string());
        let lifecycle = self.names.lifecycle(order);
        let keys = lifecycle::keys(&[&record, &lease, due, unknown, &request, &queue], &lifecycle);
        let (word, mut reply) = self
            .run(&script::RELEASE, &keys, |command| {
                command
                    .arg(&*order.id)
                    .arg(turn.as_str())
                    .arg(&fence)
                    .arg(words(State::None.entered_from()))
                    .arg(millis(*keep))
                    .arg(self.names.settled_channel())
                    .arg(by.unwrap_or(&self.config.by))
                    .arg(why)
                    .arg(self.names.queued_channel())
                    .arg(order.partition.number())
                    .arg(if *letters { "yes" } else { "no" });
            })
            .await?;
        Ok(match word.as_str() {
            "released" => Release::Released,
            "again" => Release::Again,
            "dead" => Release::Dead,
            "fenced" => Release::Fenced(reply.number()?),
            "refused" => Release::Refused(record::state(&mut reply)?),
            "gone" => Release::Gone,
            other => return Err(reply.unknown(other)),
        })
    }
}

/// How long is left, none where that is over, in ms; nothing where there is no end.
fn left(reply: &mut Reply) -> Result<Option<Duration>, StoreError> {
    reply.read("a time left", |text| match text {
        "" => Some(None),
        text => Some(Some(Duration::from_millis(text.parse::<i64>().ok()?.max(0).unsigned_abs()))),
    })
}
