//! Responses of finished orders in this process's memory: their duplicates need not ask Redis.
//!
//! Redis decides, this only remembers what it said: a final state never changes. An answer is given
//! from memory to no request but one that asks exactly the same, for the same caller, with a token
//! that is known to be the order's or with none; for no longer than its record had left to live when
//! it was read, nor than a minute; and only while this process hears what others announce, for who
//! hears nothing might miss what became of an order. Whatever is announced of an order is forgotten
//! here.
//!
//! Memory is held to a cap by what entries really take: a response is copied into one buffer of its
//! own, for a slice of hyper's would pin the whole read buffer.

use crate::model::order::State;
use crate::model::response::{StoredResponse, pack, unpack};
use crate::model::trace::TraceContext;
use crate::spread::Counter;
use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long an answer may be given without asking Redis again: the bound on what a replica may miss
/// should a record be changed by hand, in Redis itself.
const FRESH: Duration = Duration::from_secs(60);

/// Bytes an entry takes beside its texts and its response: its key and its place in the cache's
/// tables (which are at most half empty), two counted allocations, the allocator's own.
const OVERHEAD: usize = 384;

/// Bytes a header takes, at the most, beside its text: its place in a table that may be half empty,
/// and a counted allocation where its name is none of the usual.
const HEADER: usize = 128;

/// What a response is expected to take, to size the cache's tables.
const USUAL: usize = 1024;

/// Parts with a lock and a share of the cap each: more than there are threads that matter, few
/// enough that a share holds responses of a good size.
const PARTS: usize = 4;

/// One request as it is remembered: what must be the same.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The order's id.
    pub id: &'a str,
    /// Digests of what is asked and by whom, as the claim sends them.
    pub fingerprints: &'a str,
    /// The hash of the token it presents.
    pub token: Option<&'a str>,
}

/// A finished order's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The response.
    pub response: StoredResponse,
    /// The state; final.
    pub state: State,
    /// The span of the attempt that brought it.
    pub trace: Option<TraceContext>,
}

/// What is remembered of all orders.
pub struct Finished {
    orders: Option<Cache<Box<str>, Arc<Entry>, Weight>>,
    /// Whether this process hears what others announce.
    listening: AtomicBool,
    hits: Counter,
    bytes: Gauge,
}

struct Entry {
    fingerprints: Box<str>,
    token: Option<Box<str>>,
    until: Instant,
    state: State,
    trace: Option<TraceContext>,
    /// All of it in one buffer, which header values and body are slices of.
    response: StoredResponse,
    /// Bytes of that buffer.
    bytes: usize,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Arc<Entry>> for Weight {
    fn weight(&self, id: &Box<str>, entry: &Arc<Entry>) -> u64 {
        let token = entry.token.as_ref().map_or(0, |token| token.len());
        let headers = entry.response.headers.capacity() * HEADER;
        (OVERHEAD + id.len() + entry.fingerprints.len() + token + headers + entry.bytes) as u64
    }
}

impl Finished {
    /// Remembers up to `cap` bytes; nothing at all with 0.
    pub fn new(cap: usize, registry: &mut Registry) -> Finished {
        let (hits, bytes) = (Counter::default(), Gauge::default());
        registry.register(
            "local_cache_hits",
            "Duplicates answered from this process's memory, without asking Redis",
            hits.clone(),
        );
        registry.register_with_unit(
            "local_cache",
            "Memory that finished responses take, of LOCAL_CACHE",
            Unit::Bytes,
            bytes.clone(),
        );
        let options = OptionsBuilder::new()
            .shards(PARTS)
            .estimated_items_capacity(cap / USUAL)
            .weight_capacity(cap as u64)
            .build();
        // All three are set: the options are whole.
        let orders = options.ok().filter(|_| cap > 0).map(|options| {
            let (hasher, life) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
            Cache::with_options(options, Weight, hasher, life)
        });
        Finished { orders, listening: AtomicBool::new(false), hits, bytes }
    }

    /// Whether anything is remembered at all.
    pub fn remembers(&self) -> bool {
        self.orders.is_some()
    }

    /// The stored answer to a request, if it is remembered.
    pub fn recall(&self, asked: &Asked<'_>) -> Option<Answered> {
        let orders = self.orders.as_ref().filter(|_| self.listening.load(Ordering::Acquire))?;
        let entry = orders.get(asked.id)?;
        if entry.until <= Instant::now() {
            self.forget(asked.id);
            return None;
        }
        // Another request is for Redis to judge.
        let same = *entry.fingerprints == *asked.fingerprints
            && (asked.token.is_none() || asked.token == entry.token.as_deref());
        same.then(|| {
            self.hits.inc();
            Answered { response: entry.response.clone(), state: entry.state, trace: entry.trace }
        })
    }

    /// Remembers what Redis answered to a request that was sent at `since`: a final order's
    /// response, whose record had `left` to live.
    pub fn remember(
        &self,
        asked: &Asked<'_>,
        (state, response, trace): (State, &StoredResponse, Option<TraceContext>),
        left: Duration,
        since: Instant,
    ) {
        let Some(orders) = &self.orders else {
            return;
        };
        if left.is_zero() || !state.is_final() || !self.listening.load(Ordering::Acquire) {
            return;
        }
        let Some((response, bytes)) = compact(response) else {
            return;
        };
        let entry = Entry {
            fingerprints: asked.fingerprints.into(),
            token: asked.token.map(Into::into),
            until: since + left.min(FRESH),
            state,
            trace,
            response,
            bytes,
        };
        orders.insert(asked.id.into(), Arc::new(entry));
        self.weigh(orders);
    }

    /// Something was announced of an order.
    pub fn forget(&self, id: &str) {
        if let Some(orders) = &self.orders
            && orders.remove(id).is_some()
        {
            self.weigh(orders);
        }
    }

    /// Whether announcements are heard from now on. While they are not, nothing is remembered.
    pub fn listening(&self, heard: bool) {
        self.listening.store(heard, Ordering::Release);
        if let Some(orders) = self.orders.as_ref().filter(|_| !heard) {
            orders.clear();
            self.weigh(orders);
        }
    }

    fn weigh(&self, orders: &Cache<Box<str>, Arc<Entry>, Weight>) {
        self.bytes.set(i64::try_from(orders.weight()).unwrap_or(i64::MAX));
    }
}

/// A response in one buffer of its own, and how long that is.
fn compact(response: &StoredResponse) -> Option<(StoredResponse, usize)> {
    let headers = pack(&response.headers);
    let mut packed = Vec::with_capacity(headers.len() + response.body.len());
    packed.extend_from_slice(&headers);
    packed.extend_from_slice(&response.body);
    let packed = Bytes::from(packed);
    let body = packed.slice(headers.len()..);
    let headers = unpack(&packed.slice(..headers.len()))?;
    Some((StoredResponse { status: response.status, headers, body }, packed.len()))
}
