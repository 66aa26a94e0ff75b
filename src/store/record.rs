//! How a record reads: the replies of the scripts as the model's values.

use super::error::StoreError;
use super::script::Reply;
use super::text::Text;
use super::{Store, lifecycle, parts, script};
use crate::model::identity::{Order, Partition};
use crate::model::lifecycle::Standing;
use crate::model::order::State;
use crate::model::response::Kept;
use crate::model::seal::Secrets;
use crate::model::trace::TraceContext;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An order as a claim found it.
#[derive(Debug, PartialEq)]
pub struct Found {
    /// Where it stands.
    pub state: State,
    /// Its fence.
    pub fence: u64,
    /// What its record holds of a response; nothing while it is in flight.
    pub kept: Kept,
    /// In flight: how long its lease holds. Final: how long its record is kept yet, where a claim
    /// asked and its token, if any, is known to be this order's. Else zero.
    pub left: Duration,
    /// The span of the attempt it is about, where that is in a trace that is kept.
    pub trace: Option<TraceContext>,
}

/// All that is known of one order.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id in Redis' names.
    pub id: String,
    /// The route's name.
    pub route: String,
    /// The order number.
    pub key: String,
    /// The partition of keys it lives in.
    pub scope: String,
    /// Where it stands: `unknown` for one in flight whose lease is gone, whether or not anybody
    /// has said so in Redis yet.
    pub state: State,
    /// Its fence.
    pub fence: u64,
    /// How many attempts it has had.
    pub attempts: u64,
    /// How often its turn to be asked about, or cancelled, came.
    pub asks: u64,
    /// Digest of the headers of the caller that made it.
    pub caller: String,
    /// First claimed.
    pub created: Option<SystemTime>,
    /// Last moved.
    pub updated: Option<SystemTime>,
    /// When Redis forgets it.
    pub expires: Option<SystemTime>,
    /// What it holds of a response; nothing while it is in flight.
    pub kept: Kept,
    /// The span of its last attempt, or of its acceptance, where that is in a trace that is kept.
    pub trace: Option<TraceContext>,
    /// Its transitions, oldest first.
    pub history: Vec<Transition>,
    /// Where the lifecycle it has a part in stands, if that was looked at.
    pub lifecycle: Option<Standing>,
}

/// One line of an order's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// When, by Redis' clock.
    pub at: SystemTime,
    /// The state it left.
    pub from: String,
    /// The state it entered.
    pub to: String,
    /// Which replica wrote it.
    pub by: String,
    /// Why.
    pub why: String,
}

impl Store {
    /// One order as it stands.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn look(&self, order: &Order) -> Result<Option<Record>, StoreError> {
        self.look_with(order.partition, &order.id, Some(order)).await
    }

    /// The order of that id, as it stands, without its lifecycle.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn look_at(
        &self,
        partition: Partition,
        id: &str,
    ) -> Result<Option<Record>, StoreError> {
        self.look_with(partition, id, None).await
    }

    /// What one step on one order of a partition came to, told apart from a Redis that is away: an
    /// error within is that order's own, and says nothing of the next one.
    ///
    /// # Errors
    /// The step's own, where Redis cannot be asked of others either.
    pub async fn of_one<T>(
        &self,
        partition: Partition,
        step: Result<T, StoreError>,
    ) -> Result<Result<T, StoreError>, StoreError> {
        match step {
            Err(error) if !error.may_be_of_one_record() => Err(error),
            // No answer in time, or an error out of a script: does Redis answer at all?
            Err(error @ StoreError::Lost(_)) => match self.anything_open(partition).await {
                Ok(_) => Ok(Err(error)),
                Err(_) => Err(error),
            },
            step => Ok(step),
        }
    }

    /// The order of that id for a list; `None`, with a line in the log, for one that cannot be read.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub(super) async fn listed(
        &self,
        partition: Partition,
        id: &str,
    ) -> Result<Option<Record>, StoreError> {
        let record = self.look_at(partition, id).await;
        Ok(self.of_one(partition, record).await?.unwrap_or_else(|error| {
            tracing::warn!(order = id, %error, "an order cannot be read, and is left out of a list");
            None
        }))
    }

    async fn look_with(
        &self,
        partition: Partition,
        id: &str,
        order: Option<&Order>,
    ) -> Result<Option<Record>, StoreError> {
        let names = [self.names.of(partition, "order", id), self.names.of(partition, "lease", id)];
        let lifecycle = order.and_then(|order| self.names.lifecycle(order));
        let keys = lifecycle::keys(&[&names[0], &names[1]], &lifecycle);
        let (word, mut reply) = self.run(&script::LOOK, &keys, |_| {}).await?;
        match word.as_str() {
            "absent" => Ok(None),
            "order" => read(&mut reply, id, order, &self.config.secrets),
            other => Err(reply.unknown(other)),
        }
    }
}

/// The reply's next word as a state.
pub(super) fn state(reply: &mut Reply) -> Result<State, StoreError> {
    reply.read("a state", State::from_word)
}

/// An order that ended, by its record as it lies in Redis and how long that is kept yet, ms; 0 where
/// nobody asked.
pub(super) fn ended(
    raw: Vec<u8>,
    left: i64,
    order: &Order,
    secrets: &Secrets,
) -> Result<Found, StoreError> {
    let text = Text::read(raw).ok_or_else(|| StoreError::Protocol {
        script: "claim",
        reply: "a record that cannot be read".into(),
    })?;
    Ok(Found {
        state: text.state,
        fence: text.fence,
        kept: parts::kept(text.answered, &order.id, secrets),
        left: Duration::from_millis(left.max(0).unsigned_abs()),
        trace: text.trace,
    })
}

/// The tail of `found`.
pub(super) fn found(
    reply: &mut Reply,
    order: &Order,
    secrets: &Secrets,
) -> Result<Found, StoreError> {
    let (state, fence) = (state(reply)?, reply.number()?);
    let (answered, left) = (reply.bytes()?, reply.number::<i64>()?);
    Ok(Found {
        state,
        fence,
        kept: parts::kept(answered.into(), &order.id, secrets),
        left: Duration::from_millis(left.max(0).unsigned_abs()),
        trace: TraceContext::from_stored(&reply.bytes()?),
    })
}

fn read(
    reply: &mut Reply,
    id: &str,
    order: Option<&Order>,
    secrets: &Secrets,
) -> Result<Option<Record>, StoreError> {
    let expires: i64 = reply.number()?;
    let lease: i64 = reply.number()?;
    let mut fields: HashMap<String, Vec<u8>> = HashMap::new();
    while reply.remaining() >= 2 {
        fields.insert(reply.text()?, reply.bytes()?);
    }
    // It may be large, and is read where it lies.
    let answered = fields.remove("answered").unwrap_or_default();
    let text = |name: &str| {
        fields
            .get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .unwrap_or_default()
    };
    let state = match State::from_word(&text("state")) {
        Some(State::InFlight) if lease < 0 => State::Unknown,
        Some(state) => state,
        None => return Ok(None),
    };
    let kept = match state {
        // There may be one of the attempt before.
        State::InFlight => Kept::Nothing,
        _ => parts::kept(answered.into(), id, secrets),
    };
    Ok(Some(Record {
        trace: fields.get("trace").and_then(|text| TraceContext::from_stored(text)),
        id: id.to_owned(),
        route: text("route"),
        key: text("key"),
        scope: text("scope"),
        state,
        fence: text("fence").parse().unwrap_or_default(),
        attempts: text("attempts").parse().unwrap_or_default(),
        asks: text("asks").parse().unwrap_or_default(),
        caller: text("caller"),
        created: time(&text("created")),
        updated: time(&text("updated")),
        expires: (expires >= 0).then(|| at(expires.unsigned_abs())),
        kept,
        history: text("history").lines().rev().filter_map(transition).collect(),
        lifecycle: order
            .and_then(|order| lifecycle::standing(order, text("lifecycle"), &text("mover"))),
    }))
}

fn transition(line: &str) -> Option<Transition> {
    let mut words = line.splitn(5, ' ');
    let mut next = || words.next().map(str::to_owned);
    Some(Transition { at: time(&next()?)?, from: next()?, to: next()?, by: next()?, why: next()? })
}

fn time(millis: &str) -> Option<SystemTime> {
    millis.parse().ok().map(at)
}

/// The time of so many ms since 1970.
pub(super) fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// The same the other way round; 0 for what is earlier.
pub(super) fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
