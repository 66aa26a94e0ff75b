//! A store on a Redis of its own, one order, and attempts that go by letters.

use crate::support::PATIENCE;
use crate::support::redis::Redis;
use onceward::model::event::Event;
use onceward::model::field::Field;
use onceward::model::identity::{AttemptId, AttemptIds, Order, Partition};
use onceward::model::key::Key;
use onceward::model::lifecycle::Move;
use onceward::model::order::State;
use onceward::model::response::{Kept, StoredResponse};
use onceward::model::seal::Secrets;
use onceward::model::token::{Token, TokenFor};
use onceward::model::trace::TraceContext;
use onceward::store::callbacks::{Accept, Acknowledged, Arrival, Dropped};
use onceward::store::cancel::{Cancel, CancelAsk};
use onceward::store::conclude::Conclude;
use onceward::store::history::History;
use onceward::store::link::{Link, Mode, Place, Source};
use onceward::store::orders::{
    Abandon, Claim, ClaimAsk, Lapse, Renewal, Settle, Settlement, SpentToken,
};
use onceward::store::queue::{Dequeue, Enqueue, EnqueueAsk, Entry};
use onceward::store::record::Record;
use onceward::store::resolve::{
    Adopt, AdoptAsk, Hold, Permission, Release, Resolution, Resolve, Word,
};
use onceward::store::restore::{Restoration, Restore};
use onceward::store::text;
use onceward::store::{Config, Store, StoreError, StoreMetrics};
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long leases hold, open records are kept, final ones are, and tokens are good: all different.
pub const LEASE: Duration = Duration::from_secs(30);
pub const KEEP: Duration = Duration::from_secs(3600);
pub const FINAL: Duration = Duration::from_secs(600);
pub const GOOD: Duration = Duration::from_secs(900);
/// How long an entry may be in a worker's hands.
pub const IDLE: Duration = Duration::from_secs(60);

/// When an unknown order is asked about, and until when it should be resolved.
pub const ASK: Duration = Duration::from_secs(40);
pub const HOLD: Duration = Duration::from_secs(10);
pub const DEADLINE: Duration = Duration::from_secs(1000);

/// How long a lifecycle's state is kept, and for how long an order that moves it may be silent.
pub const STATE: Duration = Duration::from_secs(7200);
pub const SILENT: Duration = Duration::from_secs(9000);

/// What Redis and the store are set up with.
pub const NAMESPACE: &str = "test";
pub const BY: &str = "replica-1";

/// What the first caller asks, and who it is.
pub const PAYLOAD: &str = "payload";
pub const CALLER: &str = "caller";

/// What may not differ between a callback's repeats.
pub const UNCHANGED: &str = "unchanged";

pub struct Bench {
    pub redis: Redis,
    pub store: Arc<Store>,
    pub order: Order,
    ids: AttemptIds,
    named: Mutex<HashMap<String, AttemptId>>,
    /// What claims left, by attempt.
    begun: Begun,
}

/// What claims left, by attempt.
type Begun = Arc<Mutex<HashMap<AttemptId, Arc<text::Begun>>>>;

impl Bench {
    pub fn new() -> Bench {
        Bench::on(Redis::start())
    }

    pub fn on(redis: Redis) -> Bench {
        let url = redis.url();
        Bench::through(redis, &url)
    }

    /// Likewise, its store connected by another URL.
    pub fn through(redis: Redis, url: &str) -> Bench {
        Bench::at(redis, place(Mode::Standalone, url))
    }

    /// Likewise, in another mode.
    pub fn at(redis: Redis, place: Arc<Place>) -> Bench {
        let store = Arc::new(store_at(place, |_| {}));
        Bench {
            redis,
            store,
            order: order("2024-0001"),
            ids: AttemptIds::new().unwrap(),
            named: Mutex::default(),
            begun: Begun::default(),
        }
    }

    /// The same, its order with a part in a lifecycle: from `open`, where it begins, to `open`.
    pub fn moving(mut self) -> Bench {
        self.order = self.order.moving(&step(&["open"], "open"));
        self
    }

    /// The attempt of that letter.
    pub fn attempt(&self, who: &str) -> AttemptId {
        let mut named = self.named.lock().unwrap();
        let named = named.entry(who.to_owned());
        named.or_insert_with(|| self.ids.next()).clone()
    }

    /// A claim in the making.
    pub fn ask(&self, who: &str) -> Ask<'_> {
        Ask {
            store: &self.store,
            order: self.order.clone(),
            attempt: self.attempt(who),
            lease: LEASE,
            keep: KEEP,
            payload: PAYLOAD.to_owned(),
            callers: CALLER.to_owned(),
            from: &[State::None],
            ask: Some(ASK),
            token: None,
            trace: None,
            left: true,
            begun: self.begun.clone(),
        }
    }

    pub async fn claim(&self, who: &str) -> Claim {
        self.ask(who).claim().await
    }

    /// A claim under the policy `retry`.
    pub async fn retry(&self, who: &str) -> Claim {
        let from = &[State::None, State::Unknown];
        self.ask(who).from(from).claim().await
    }

    pub async fn renew(&self, who: &str, fence: u64) -> Renewal {
        let attempt = self.attempt(who);
        let renewed = self.store.renew(&self.order, &attempt, fence, LEASE);
        renewed.await.unwrap()
    }

    pub async fn settle(&self, who: &str, fence: u64, to: State) -> Settle {
        self.settle_with(who, fence, to, &answer(200, b"paid")).await
    }

    pub async fn settle_with(&self, who: &str, fence: u64, to: State, kept: &Kept) -> Settle {
        self.try_settle(who, fence, to, kept).await.unwrap()
    }

    pub async fn try_settle(
        &self,
        who: &str,
        fence: u64,
        to: State,
        kept: &Kept,
    ) -> Result<Settle, StoreError> {
        let begun = self.begun(who);
        let settlement = Settlement {
            order: &self.order,
            attempt: &self.attempt(who),
            fence,
            to,
            keep: FINAL,
            kept,
            why: "upstream said so",
            begun: begun.as_deref(),
        };
        self.store.settle(&settlement).await
    }

    /// What an attempt knows of an order whose record is lost: that it runs, or how it ended.
    pub async fn restore(&self, who: &str, fence: u64, to: State) -> Restore {
        let (attempt, kept) = (self.attempt(who), answer(200, b"paid"));
        let claim = ClaimAsk {
            order: &self.order,
            attempt: &attempt,
            lease: LEASE,
            keep: KEEP,
            fingerprints: PAYLOAD,
            callers: CALLER,
            grant_from: &[State::None],
            ask: Some(ASK),
            token: None,
            trace: None,
            left: true,
        };
        let ended = Settlement {
            order: &self.order,
            attempt: &attempt,
            fence,
            to,
            keep: FINAL,
            kept: &kept,
            why: "upstream said so",
            begun: None,
        };
        let ended = (to != State::InFlight).then_some(&ended);
        self.store.restore(&Restoration { claim: &claim, fence, ended }).await.unwrap()
    }

    /// What an attempt's claim left, where that is known.
    pub fn begun(&self, who: &str) -> Option<Arc<text::Begun>> {
        self.begun.lock().unwrap().get(&self.attempt(who)).cloned()
    }

    /// From now on nobody knows what claims left.
    pub fn forget_begun(&self) {
        self.begun.lock().unwrap().clear();
    }

    pub async fn abandon(&self, who: &str) -> Abandon {
        self.abandon_with(who, None).await
    }

    pub async fn abandon_with(&self, who: &str, token: Option<&SpentToken>) -> Abandon {
        let attempt = self.attempt(who);
        let abandoned = self.store.abandon(&self.order, &attempt, token, FINAL, "nothing was sent");
        abandoned.await.unwrap()
    }

    pub async fn lapse(&self, fence: Option<u64>) -> Lapse {
        let (partition, id) = (self.order.partition, &self.order.id);
        self.store.lapse(partition, id, fence, KEEP).await.unwrap()
    }

    /// An event of the order's number.
    pub fn event(&self, what: &str) -> Event {
        Event::new(self.order.clone(), &[Field::Text(what.to_owned())])
    }

    pub async fn accept(&self, event: &Event, who: &str) -> Accept {
        self.accept_saying(event, who, UNCHANGED).await
    }

    /// Accepts a copy whose unchanging fields have that digest.
    pub async fn accept_saying(&self, event: &Event, who: &str, unchanged: &str) -> Accept {
        self.try_accept(event, who, unchanged, true).await
    }

    /// Accepts a copy that has met another and is not to be forwarded.
    pub async fn accept_waiting(&self, event: &Event, who: &str) -> Accept {
        self.try_accept(event, who, UNCHANGED, false).await
    }

    async fn try_accept(&self, event: &Event, who: &str, unchanged: &str, forward: bool) -> Accept {
        let attempt = &self.attempt(who);
        let arrival =
            Arrival { event, attempt, lease: LEASE, keep: KEEP, unchanged, forward, trace: None };
        self.store.accept_callback(&arrival).await.unwrap()
    }

    pub async fn acknowledge(&self, event: &Event, who: &str, fence: u64) -> Acknowledged {
        let attempt = &self.attempt(who);
        let Kept::Response(response) = answer(200, b"paid") else { unreachable!() };
        let stored =
            self.store.settle_callback(event, (attempt, fence), FINAL, UNCHANGED, &response);
        stored.await.unwrap()
    }

    pub async fn drop_callback(&self, event: &Event, who: &str, fence: u64) -> Dropped {
        let attempt = &self.attempt(who);
        self.store.drop_callback(event, (attempt, fence)).await.unwrap()
    }

    /// Ends the order on a callback's word.
    pub async fn conclude(&self, to: State) -> Conclude {
        self.store.conclude(&self.order, to, FINAL, "a callback said so").await.unwrap()
    }

    /// Takes the order for a turn, as it was seen.
    pub async fn adopt(&self, turn: &str, seen: &Record) -> Adopt {
        self.adopt_within(turn, seen, Some(DEADLINE)).await
    }

    pub async fn adopt_within(
        &self,
        turn: &str,
        seen: &Record,
        deadline: Option<Duration>,
    ) -> Adopt {
        let turn = self.attempt(turn);
        self.adopt_as(&turn, seen, (Some(ASK), Some(ASK * 2)), deadline).await
    }

    /// The same by a replica that cannot make any call.
    pub async fn adopt_unable(&self, turn: &str, seen: &Record) -> Adopt {
        self.adopt_as(&self.attempt(turn), seen, (None, None), None).await
    }

    async fn adopt_as(
        &self,
        turn: &AttemptId,
        seen: &Record,
        (query, cancel): (Option<Duration>, Option<Duration>),
        deadline: Option<Duration>,
    ) -> Adopt {
        let order = &self.order;
        let (hold, cancel_from) = (HOLD, None);
        let ask = AdoptAsk { order, turn, seen, query, cancel, hold, cancel_from, deadline };
        self.store.adopt(&ask).await.unwrap()
    }

    pub async fn hold(&self, turn: &str, wait: Duration) -> Hold {
        self.store.hold(&self.order, &self.attempt(turn), wait).await.unwrap()
    }

    /// Somebody's word that the order ended so, with a response of its own.
    pub async fn resolve(&self, turn: &str, fence: Option<u64>, to: State) -> Resolve {
        self.resolve_with(turn, fence, to, Word::Response(&answer(200, b"paid"))).await
    }

    pub async fn resolve_with(
        &self,
        turn: &str,
        fence: Option<u64>,
        to: State,
        word: Word<'_>,
    ) -> Resolve {
        let resolution = Resolution {
            order: &self.order,
            turn: &self.attempt(turn),
            fence,
            to,
            keep: FINAL,
            word,
            by: None,
            why: "upstream said so",
        };
        self.store.resolve(&resolution).await.unwrap()
    }

    pub async fn release(&self, turn: &str, fence: Option<u64>) -> Release {
        self.release_with(turn, fence, false).await
    }

    /// An operator's release.
    pub async fn permit(&self, turn: &str) -> Release {
        self.release_with(turn, None, true).await
    }

    async fn release_with(&self, turn: &str, fence: Option<u64>, letters: bool) -> Release {
        let permission = Permission {
            order: &self.order,
            turn: &self.attempt(turn),
            fence,
            keep: FINAL,
            letters,
            by: None,
            why: "upstream said so",
        };
        self.store.release(&permission).await.unwrap()
    }

    /// A cancel by that caller, or by an operator; `confirm` says that the route has a cancel call.
    pub async fn cancel(&self, callers: Option<&str>, confirm: bool) -> Cancel {
        let ask = CancelAsk {
            order: &self.order,
            callers,
            confirm,
            keep: KEEP,
            by: None,
            why: "upstream said so",
        };
        self.store.cancel(&ask).await.unwrap()
    }

    /// As if the order's next due time had come.
    pub fn make_due(&self) {
        self.redis.command(&["ZADD", &self.due(), "XX", "1", &self.order.id]);
    }

    pub fn cancelling(&self) -> String {
        self.store.names().cancelling(self.order.partition).to_owned()
    }

    /// Accepts the order into the buffer, which holds 2 entries a partition.
    pub async fn enqueue(&self, who: &str) -> Enqueue {
        self.enqueue_with(who, None).await
    }

    pub async fn enqueue_with(&self, who: &str, token: Option<&SpentToken>) -> Enqueue {
        self.enqueue_as(who, token, PAYLOAD, CALLER, &self.order).await
    }

    pub async fn enqueue_as(
        &self,
        who: &str,
        token: Option<&SpentToken>,
        fingerprints: &str,
        callers: &str,
        order: &Order,
    ) -> Enqueue {
        let (head, ()) = hyper::Request::post("/pay").body(()).unwrap().into_parts();
        let ask = EnqueueAsk {
            order,
            attempt: &self.attempt(who),
            fingerprints,
            callers,
            token,
            head: &head,
            body: &"{}".into(),
            most: 128,
            trace: None,
        };
        self.store.enqueue(&ask).await.unwrap()
    }

    /// Up to 7 entries of the order's partition.
    pub async fn take(&self, idle: Duration) -> Vec<Entry> {
        self.store.take(self.order.partition, 7, idle).await.unwrap()
    }

    /// What a try of that letter left the order's entry in.
    pub async fn dequeue(&self, entry: &Entry, turn: &str) -> Dequeue {
        self.dequeue_for(entry, turn, Duration::ZERO).await
    }

    /// The same of one that is not to be tried again for so long.
    pub async fn dequeue_for(&self, entry: &Entry, turn: &str, wait: Duration) -> Dequeue {
        self.store.dequeue(entry, &self.attempt(turn), (KEEP, wait)).await.unwrap()
    }

    pub fn queue(&self) -> String {
        self.store.names().queue(self.order.partition)
    }

    pub async fn look(&self) -> Record {
        let record = self.store.look(&self.order).await.unwrap();
        record.expect("a record")
    }

    /// A token for this order alone.
    pub async fn token(&self) -> Token {
        self.issued(Token::draw(Some(self.order.clone())).unwrap()).await
    }

    /// A token for the first order that presents it.
    pub async fn free_token(&self) -> Token {
        self.issued(Token::draw(None).unwrap()).await
    }

    async fn issued(&self, token: Token) -> Token {
        let issued = self.store.issue_token(&token, CALLER, "pay", GOOD);
        issued.await.unwrap();
        token
    }

    /// Binds a free token as `callers`; when it runs out.
    pub async fn bind(&self, token: &Token, callers: &str, order: &Order) -> Option<u64> {
        let name = (kept_in(token), token.hash());
        self.store.bind_token(name, callers, order).await.unwrap()
    }

    /// As if the lease had run out: to a script it is the same.
    pub fn lose_lease(&self) {
        self.redis.command(&["DEL", &self.lease()]);
    }

    /// As if the record had expired.
    pub fn lose_record(&self) {
        self.redis.command(&["DEL", &self.record()]);
    }

    pub fn record(&self) -> String {
        self.store.names().record(&self.order)
    }

    pub fn lease(&self) -> String {
        self.store.names().lease(&self.order)
    }

    /// Its order must have a part in one.
    pub fn lifecycle(&self) -> String {
        self.store.names().lifecycle(&self.order).expect("a part in a lifecycle")
    }

    /// As if the lifecycle stood there.
    pub fn set_state(&self, state: &str) {
        self.redis.command(&["HSET", &self.lifecycle(), "state", state]);
    }

    /// As if another order were moving the lifecycle.
    pub fn set_mover(&self, mover: &str) {
        let far = "99999999999999";
        self.redis.command(&["HSET", &self.lifecycle(), "mover", mover, "until", far]);
    }

    pub fn due(&self) -> String {
        self.store.names().due(self.order.partition).to_owned()
    }

    pub fn unknown(&self) -> String {
        self.store.names().unknown(self.order.partition).to_owned()
    }

    /// What the record says in one field; empty where it has none.
    pub fn field(&self, name: &str) -> String {
        self.redis.record_word(&self.record(), name)
    }

    /// How long a key is kept yet, in ms; negative when it is not there.
    pub fn ttl(&self, name: &str) -> i64 {
        self.redis.command(&["PTTL", name]).parse().unwrap()
    }

    /// Whether a key is kept as long as was asked, but for the time this test takes.
    pub fn assert_kept(&self, name: &str, asked: Duration) {
        let asked = i64::try_from(asked.as_millis()).unwrap();
        let left = self.ttl(name);
        assert!((asked - 20_000..=asked).contains(&left), "{name}: {left}");
    }

    pub fn has(&self, name: &str) -> bool {
        self.redis.command(&["EXISTS", name]) == "1"
    }

    /// The ids in an index, oldest first.
    pub fn indexed(&self, index: &str) -> Vec<String> {
        let ids = self.redis.command(&["ZRANGE", index, "0", "-1"]);
        ids.lines().map(str::to_owned).collect()
    }

    /// Every name in Redis.
    pub fn names(&self) -> Vec<String> {
        let names = self.redis.command(&["KEYS", "*"]);
        names.lines().map(str::to_owned).collect()
    }

    /// Counts what was ever written.
    pub fn writes(&self) -> u64 {
        let info = self.redis.command(&["INFO", "persistence"]);
        let line = info.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
        line.unwrap().trim().parse().unwrap()
    }
}

/// A claim in the making.
#[derive(Clone)]
pub struct Ask<'a> {
    store: &'a Store,
    order: Order,
    attempt: AttemptId,
    lease: Duration,
    keep: Duration,
    payload: String,
    callers: String,
    from: &'static [State],
    ask: Option<Duration>,
    token: Option<SpentToken>,
    trace: Option<TraceContext>,
    left: bool,
    begun: Begun,
}

impl<'a> Ask<'a> {
    pub fn through(mut self, store: &'a Store) -> Ask<'a> {
        self.store = store;
        self
    }

    pub fn order(mut self, order: Order) -> Ask<'a> {
        self.order = order;
        self
    }

    pub fn lease(mut self, lease: Duration) -> Ask<'a> {
        self.lease = lease;
        self
    }

    pub fn keep(mut self, keep: Duration) -> Ask<'a> {
        self.keep = keep;
        self
    }

    pub fn payload(mut self, payload: &str) -> Ask<'a> {
        self.payload = payload.to_owned();
        self
    }

    pub fn callers(mut self, callers: &str) -> Ask<'a> {
        self.callers = callers.to_owned();
        self
    }

    pub fn from(mut self, from: &'static [State]) -> Ask<'a> {
        self.from = from;
        self
    }

    /// As on a route without a query.
    pub fn held(mut self) -> Ask<'a> {
        self.ask = None;
        self
    }

    /// Asked about so long after it became unknown.
    pub fn asked_after(mut self, ask: Option<Duration>) -> Ask<'a> {
        self.ask = ask;
        self
    }

    pub fn token(mut self, token: SpentToken) -> Ask<'a> {
        self.token = Some(token);
        self
    }

    /// Not interested in how long the record of an order that has ended is kept.
    pub fn whatever_is_left(mut self) -> Ask<'a> {
        self.left = false;
        self
    }

    /// Told of in that span.
    pub fn traced(mut self, span: TraceContext) -> Ask<'a> {
        self.trace = Some(span);
        self
    }

    pub async fn claim(&self) -> Claim {
        self.try_claim().await.unwrap()
    }

    pub async fn try_claim(&self) -> Result<Claim, StoreError> {
        let ask = ClaimAsk {
            order: &self.order,
            attempt: &self.attempt,
            lease: self.lease,
            keep: self.keep,
            fingerprints: &self.payload,
            callers: &self.callers,
            grant_from: self.from,
            ask: self.ask,
            token: self.token.as_ref(),
            trace: self.trace,
            left: self.left,
        };
        let mut claim = self.store.claim(&ask).await?;
        if let Claim::Granted { begun, .. } = &mut claim
            && let Some(begun) = begun.take()
        {
            self.begun.lock().unwrap().insert(self.attempt.clone(), begun);
        }
        Ok(claim)
    }
}

/// A store with a connection of its own, its settings changed by `change`.
pub fn store(redis: &Redis, change: impl FnOnce(&mut Config)) -> Store {
    store_at(place(Mode::Standalone, &redis.url()), change)
}

pub fn store_at(place: Arc<Place>, change: impl FnOnce(&mut Config)) -> Store {
    let mut config = Config {
        namespace: NAMESPACE.into(),
        wait_replicas: 0,
        wait_timeout: Duration::from_millis(10),
        by: BY.into(),
        secrets: Arc::new(Secrets::none()),
        history: Arc::new(History::new(Duration::ZERO)),
    };
    change(&mut config);
    let link = Arc::new(Link::new(place, PATIENCE));
    Store::new(config, link, StoreMetrics::new(&mut Registry::default()))
}

/// Where those URLs point.
pub fn place(mode: Mode, urls: &str) -> Arc<Place> {
    let source = Source {
        mode,
        urls: urls.into(),
        urls_file: None,
        master: "mymaster".into(),
        ca_file: None,
        identity: None,
    };
    Arc::new(Place::new(source).unwrap())
}

pub fn order(key: &str) -> Order {
    Order::new("pay".into(), "tenant", Key::from_text(key).unwrap())
}

/// A move in the lifecycle `goods`, which begins `open`.
pub fn step(from: &[&str], to: &str) -> Arc<Move> {
    Arc::new(Move {
        lifecycle: "goods".into(),
        start: "open".into(),
        from: from.iter().map(|state| (*state).into()).collect(),
        to: to.into(),
        keep: STATE,
        hold: SILENT,
    })
}

/// The partition a free token is kept in.
pub fn kept_in(token: &Token) -> Partition {
    match token.good_for() {
        TokenFor::Any(partition) => *partition,
        TokenFor::Order(order) => order.partition,
    }
}

/// The token as a claim spends it; `until` is 0 for one issued for its order.
pub fn spent(token: &Token, until: u64) -> SpentToken {
    SpentToken { hash: token.hash().to_owned(), until }
}

/// A response with one header and this body.
pub fn answer(status: u16, body: &[u8]) -> Kept {
    let mut headers = hyper::HeaderMap::new();
    headers.insert("x-channel", "alipay".parse().unwrap());
    Kept::Response(StoredResponse {
        status: status.try_into().unwrap(),
        headers,
        body: body.to_vec().into(),
    })
}

/// A claim that was granted.
pub fn granted(fence: u64, from: State) -> Claim {
    Claim::Granted { fence, attempts: fence, from, begun: None }
}

/// The state a claim found, and what is stored.
#[track_caller]
pub fn found(claim: Claim) -> (State, Kept) {
    match claim {
        Claim::Found(found) => (found.state, found.kept),
        other => panic!("{other:?}"),
    }
}
