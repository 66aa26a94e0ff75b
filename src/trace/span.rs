//! Spans: what was done for a request, when, and how it went. Off, each call here is one branch.

use super::Shared;
use crate::model::identity::Order;
use crate::model::trace::TraceContext;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What a span says of itself. No text that a request brought has a way in here: route names and
/// ids of faults are the operator's, an order goes by the hash that stands in Redis' names.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A word of ours.
    Word(&'static str),
    /// A name of the operator's, or an order's id.
    Name(Arc<str>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// On which side of a call a span stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It answers one.
    Server,
    /// It makes one.
    Client,
    /// It works on what somebody left.
    Consumer,
}

/// Links of one span: a duplicate that waits may meet one attempt after the other.
const MAX_LINKS: usize = 8;

/// A span that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its place.
    pub context: TraceContext,
    /// The span it belongs to.
    pub parent: Option<[u8; 8]>,
    /// What it is called.
    pub name: Cow<'static, str>,
    /// Its side.
    pub kind: Kind,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What it says of itself.
    pub attributes: Vec<(&'static str, Value)>,
    /// Other spans it has to do with.
    pub links: Vec<TraceContext>,
    /// What failed, in words of ours.
    pub error: Option<&'static str>,
}

/// A span under way, shared by all who have something to say of it; it ends when one of them says
/// so, or when the last lets go of it.
#[derive(Clone, Default)]
pub struct Span(Option<Arc<Inner>>);

struct Inner {
    shared: Arc<Shared>,
    context: TraceContext,
    /// Whether its trace began elsewhere.
    continues: bool,
    /// None once it has ended, or where nobody keeps it.
    open: Mutex<Option<Box<Open>>>,
}

struct Open {
    ended: Ended,
    since: Instant,
}

impl Span {
    pub(super) fn begin(
        shared: &Arc<Shared>,
        name: Cow<'static, str>,
        kind: Kind,
        parent: Option<TraceContext>,
    ) -> Span {
        let trace = parent.map_or_else(|| shared.ids.trace(), |parent| parent.trace);
        let sampled = shared.sampler.keeps(&trace, parent.as_ref());
        let context = TraceContext { trace, span: shared.ids.span(), sampled };
        let parent = parent.map(|parent| parent.span);
        Span::open(shared, context, (name, kind), parent, parent.is_some())
    }

    fn open(
        shared: &Arc<Shared>,
        context: TraceContext,
        (name, kind): (Cow<'static, str>, Kind),
        parent: Option<[u8; 8]>,
        continues: bool,
    ) -> Span {
        let open = context.sampled.then(|| {
            let ended = Ended {
                context,
                parent,
                name,
                kind,
                began: SystemTime::now(),
                took: Duration::ZERO,
                attributes: Vec::with_capacity(8),
                links: Vec::new(),
                error: None,
            };
            Box::new(Open { ended, since: Instant::now() })
        });
        let open = Mutex::new(open);
        Span(Some(Arc::new(Inner { shared: shared.clone(), context, continues, open })))
    }

    /// A part of what is done for this one.
    pub fn child(&self, name: &'static str, kind: Kind) -> Span {
        let Some(inner) = &self.0 else {
            return Span(None);
        };
        let (shared, parent) = (&inner.shared, inner.context);
        let context = TraceContext { span: shared.ids.span(), ..parent };
        let named = (Cow::Borrowed(name), kind);
        Span::open(shared, context, named, Some(parent.span), inner.continues)
    }

    /// Its place, where there is a span.
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|inner| inner.context)
    }

    /// Whether it is in a trace that began elsewhere, so that what others noted of that still holds.
    pub fn continues(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.continues)
    }

    /// Says something of it.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        self.with(|span| {
            span.attributes.retain(|(other, _)| *other != name);
            span.attributes.push((name, value.into()));
        });
    }

    /// It is about an order, told by its id: the key itself is the caller's text.
    pub fn about(&self, order: &Order) {
        if self.0.is_some() {
            self.set("onceward.route", &order.route);
            self.set("onceward.order", Value::Name((&*order.id).into()));
        }
    }

    /// Calls it otherwise.
    pub fn rename(&self, name: impl FnOnce() -> String) {
        self.with(|span| span.name = Cow::Owned(name()));
    }

    /// It has to do with another span.
    pub fn link(&self, other: Option<TraceContext>) {
        self.with(|span| {
            if let Some(other) = other
                && span.links.len() < MAX_LINKS
                && !span.links.contains(&other)
            {
                span.links.push(other);
            }
        });
    }

    /// What it is about failed.
    pub fn fail(&self, why: &'static str) {
        self.with(|span| span.error = Some(why));
    }

    /// It is over.
    pub fn end(&self) {
        if let Some(inner) = &self.0 {
            inner.end();
        }
    }

    /// It was none.
    pub fn discard(&self) {
        if let Some(inner) = &self.0 {
            inner.take();
        }
    }

    fn with(&self, say: impl FnOnce(&mut Ended)) {
        if let Some(inner) = &self.0
            && let Some(open) = &mut *inner.open.lock().unwrap_or_else(PoisonError::into_inner)
        {
            say(&mut open.ended);
        }
    }
}

impl Inner {
    fn take(&self) -> Option<Box<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn end(&self) {
        if let Some(open) = self.take() {
            let Open { mut ended, since } = *open;
            ended.took = since.elapsed();
            self.shared.hand_over(ended);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Value {
        Value::Word(word)
    }
}

impl From<&Arc<str>> for Value {
    fn from(name: &Arc<str>) -> Value {
        Value::Name(name.clone())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}
