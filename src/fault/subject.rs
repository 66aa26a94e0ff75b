//! Whom the running task serves, so that a rule can be about some and not about others.

use super::rule::Firing;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::task::futures::TaskLocalFuture;
use tokio_util::either::Either;

tokio::task_local! {
    static CURRENT: Arc<Subject>;
}

/// One request or one turn of a worker's: what rules are matched against, and which touched it.
#[derive(Debug, Default)]
pub struct Subject {
    headers: HeaderMap,
    order: OnceLock<(String, String)>,
    touched: Mutex<Vec<Arc<str>>>,
    kept: Mutex<Vec<Firing>>,
}

impl Subject {
    /// A request with these headers, about no order yet.
    pub(super) fn of(headers: HeaderMap) -> Subject {
        Subject { headers, ..Subject::default() }
    }

    /// Whoever works on an order, at nobody's request.
    pub(super) fn about(route: &str, key: &str) -> Subject {
        let subject = Subject::default();
        let _ = subject.order.set((route.to_owned(), key.to_owned()));
        subject
    }

    /// The running task turns out to be about this order; the first word counts.
    pub fn is_about(route: &str, key: &str) {
        if let Some(subject) = Subject::current() {
            let _ = subject.order.set((route.to_owned(), key.to_owned()));
        }
    }

    /// Keeps what happened to the running task's request until it is answered: whoever it overtakes
    /// waits for that.
    pub fn keep(firings: Vec<Firing>) {
        if let Some(subject) = Subject::current() {
            subject.kept.lock().unwrap_or_else(PoisonError::into_inner).extend(firings);
        }
    }

    /// The request is answered.
    pub fn passed(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whom the running task serves.
    pub(super) fn current() -> Option<Arc<Subject>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    pub(super) fn route(&self) -> Option<&str> {
        self.order.get().map(|(route, _)| route.as_str())
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.order.get().map(|(_, key)| key.as_str())
    }

    pub(super) fn has(&self, name: &HeaderName, value: &HeaderValue) -> bool {
        self.headers.get_all(name).iter().any(|other| other == value)
    }

    pub(super) fn touch(&self, rule: &Arc<str>) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if !touched.contains(rule) {
            touched.push(rule.clone());
        }
    }

    /// The rules that touched it so far.
    pub fn touched(&self) -> Vec<Arc<str>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A future that is polled on somebody's behalf, or on nobody's.
pub type Carried<F> = Either<TaskLocalFuture<Arc<Subject>, F>, F>;

/// Carries the subject into tasks.
pub trait Carry: Future + Sized {
    /// This future on behalf of whom the running task serves; for what is spawned.
    fn on_same_behalf(self) -> Carried<Self> {
        self.on_behalf_of(Subject::current())
    }

    /// This future on behalf of `subject`.
    fn on_behalf_of(self, subject: Option<Arc<Subject>>) -> Carried<Self> {
        match subject {
            Some(subject) => Either::Left(CURRENT.scope(subject, self)),
            None => Either::Right(self),
        }
    }
}

impl<F: Future> Carry for F {}
