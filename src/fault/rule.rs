//! One rule: whether it fires, and what it holds back meanwhile.

use super::kinds::{Deed, LONGEST};
use super::place::{At, Side};
use super::subject::Subject;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How long something is held for another to overtake it.
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(10);

/// A rule in force.
#[derive(Debug)]
pub struct Rule {
    pub(super) id: Arc<str>,
    pub(super) at: At,
    pub(super) deed: Deed,
    pub(super) whom: Whom,
    /// From 0, never, to `u64::MAX`, always.
    pub(super) chance: u64,
    /// Firings left; without one there is no end to them.
    pub(super) left: Option<AtomicU64>,
    pub(super) until: Option<Instant>,
    /// The rule as it was put.
    pub(super) text: Value,
    pub(super) dice: AtomicU64,
    pub(super) fired: AtomicU64,
    /// Cancelled when the rule goes.
    pub(super) gone: CancellationToken,
    /// Whoever is held to be overtaken.
    pub(super) held: Mutex<Option<oneshot::Sender<()>>>,
}

/// Whom a rule is about: everybody, less whoever one of these does not fit.
#[derive(Debug, Default)]
pub(super) struct Whom {
    pub(super) route: Option<String>,
    pub(super) key: Option<String>,
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    pub(super) command: Option<String>,
}

impl Whom {
    fn is(&self, subject: Option<&Subject>) -> bool {
        if self.route.is_none() && self.key.is_none() && self.header.is_none() {
            return true;
        }
        let Some(subject) = subject else {
            return false;
        };
        self.route.as_deref().is_none_or(|route| subject.route() == Some(route))
            && self.key.as_deref().is_none_or(|key| subject.key() == Some(key))
            && self.header.as_ref().is_none_or(|(name, value)| subject.has(name, value))
    }
}

/// A rule that fired: what happens now.
#[derive(Debug)]
pub struct Firing {
    /// What.
    pub deed: Deed,
    id: Arc<str>,
    gone: CancellationToken,
    turn: Turn,
}

/// Where a firing stands in a change of order.
#[derive(Debug)]
enum Turn {
    /// In none.
    None,
    /// It is held until this is told, or dropped.
    Held(Mutex<Option<oneshot::Receiver<()>>>),
    /// It overtakes: whoever is held goes on when this is dropped.
    Overtaking { _held: oneshot::Sender<()> },
}

impl Rule {
    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The Redis command it is about, where it names one.
    pub fn command(&self) -> Option<&str> {
        self.whom.command.as_deref()
    }

    /// How often it fired.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }

    /// The rule as it was put.
    pub fn document(&self) -> &Value {
        &self.text
    }

    /// The rule and what came of it.
    pub(super) fn listed(&self) -> Value {
        let mut document = self.text.clone();
        document["id"] = (*self.id).into();
        document["fired"] = self.fired().into();
        document["over"] = json!(self.is_over());
        document
    }

    fn is_over(&self) -> bool {
        let spent = self.left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0);
        spent || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Releases what it holds.
    pub(super) fn let_go(&self) {
        self.gone.cancel();
    }

    pub(super) fn is_for(&self, at: At, side: Side, command: Option<&str>) -> bool {
        self.at == at
            && self.deed.side(at) == side
            && self.whom.command.as_deref().is_none_or(|name| command == Some(name))
    }

    /// Whether it fires for `subject` now; what happens then.
    pub(super) fn fire(&self, subject: Option<&Subject>) -> Option<Firing> {
        if !self.whom.is(subject) {
            return None;
        }
        let firing = |turn| Firing {
            deed: self.deed.clone(),
            id: self.id.clone(),
            gone: self.gone.clone(),
            turn,
        };
        if self.deed != Deed::Reorder {
            return self.takes_one().then(|| firing(Turn::None));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is not waited for any more was released by time.
        if let Some(waiting) = held.take().filter(|waiting| !waiting.is_closed()) {
            return Some(firing(Turn::Overtaking { _held: waiting }));
        }
        self.takes_one().then(|| {
            let (overtaken, hold) = oneshot::channel();
            *held = Some(overtaken);
            firing(Turn::Held(Mutex::new(Some(hold))))
        })
    }

    /// Throws the dice and counts: exactly as many firings as `times` allows, on however many
    /// threads.
    fn takes_one(&self) -> bool {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
        if self.chance != u64::MAX && self.throw() >= self.chance {
            return false;
        }
        if let Some(left) = &self.left {
            let less = |left: u64| left.checked_sub(1);
            if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
                return false;
            }
        }
        self.fired.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// The next of a series that the seed decides (splitmix64: Steele, Lea and Flood, 2014).
    fn throw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.dice.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Firing {
    /// The rule's name.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Whether it only lets another be overtaken, and nothing happens to it.
    pub(super) fn overtakes(&self) -> bool {
        matches!(self.turn, Turn::Overtaking { .. })
    }

    /// Waits where the deed is to wait: for a delay to pass, for another to overtake; what is lost
    /// waits for ever, as far as anybody here has patience for that. The rule's end is the end of
    /// any waiting.
    pub async fn hold(&self) {
        let waiting = async {
            match (&self.deed, &self.turn) {
                (Deed::Delay(time), _) => tokio::time::sleep(*time).await,
                (Deed::Lose, _) => tokio::time::sleep(LONGEST).await,
                (_, Turn::Held(hold)) => {
                    let hold = hold.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some(hold) = hold {
                        let _ = tokio::time::timeout(OVERTAKEN_WITHIN, hold).await;
                    }
                }
                _ => {}
            }
        };
        self.gone.run_until_cancelled(waiting).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::read;
    use super::*;
    use serde_json::json;

    fn rule(document: Value) -> Rule {
        read("r", &document).expect("as it should be")
    }

    #[test]
    fn it_fires_so_often_and_no_more_however_many_ask() {
        let rule = rule(json!({"at": "response", "do": {"lose": true}, "times": 100}));
        let fired: usize = std::thread::scope(|scope| {
            let asking = || (0..100).filter(|_| rule.fire(None).is_some()).count();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(asking)).collect();
            threads.into_iter().map(|thread| thread.join().expect("as it should be")).sum()
        });
        assert_eq!((fired, rule.fired()), (100, 100));
        assert_eq!(rule.listed()["over"], true);
    }

    #[test]
    fn a_seed_decides_which_of_many_it_strikes() {
        let struck = |seed: u64| {
            let document =
                json!({"at": "response", "do": {"lose": true}, "probability": 0.25, "seed": seed});
            let rule = rule(document);
            (0..1000).map(|_| rule.fire(None).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(struck(7), struck(7));
        assert_ne!(struck(7), struck(8));
        let about = struck(7).iter().filter(|struck| **struck).count();
        assert!((200..300).contains(&about), "{about}");
    }

    #[test]
    fn it_is_about_those_it_names_and_nobody_else() {
        let mut headers = hyper::HeaderMap::new();
        headers.append("x-test", HeaderValue::from_static("0"));
        headers.append("x-test", HeaderValue::from_static("1"));
        let request = Subject::of(headers);
        let order = Subject::about("pay", "7");
        let cases = [
            (json!({}), true, true, true),
            (json!({"route": "pay"}), false, true, false),
            (json!({"route": "pay", "key": "7"}), false, true, false),
            (json!({"route": "pay", "key": "8"}), false, false, false),
            (json!({"header": "X-Test: 1"}), true, false, false),
            (json!({"header": "x-test: 2"}), false, false, false),
        ];
        for (whom, of_request, of_order, of_nobody) in cases {
            let mut document = json!({"at": "response", "do": {"lose": true}});
            document
                .as_object_mut()
                .expect("as it should be")
                .extend(whom.as_object().expect("as it should be").clone());
            let rule = rule(document);
            let fires = |subject| rule.fire(subject).is_some();
            let all = (fires(Some(&request)), fires(Some(&order)), fires(None));
            assert_eq!(all, (of_request, of_order, of_nobody), "{whom}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_goes_on_when_the_rule_goes() {
        for deed in [json!({"delay": "10m"}), json!({"lose": true}), json!({"reorder": true})] {
            let rule = rule(json!({"at": "response", "do": deed}));
            let firing = rule.fire(None).expect("as it should be");
            let held = tokio::spawn(async move { firing.hold().await });
            tokio::task::yield_now().await;
            assert!(!held.is_finished(), "{deed}");
            let since = tokio::time::Instant::now();
            rule.let_go();
            held.await.expect("as it should be");
            assert!(since.elapsed() < Duration::from_secs(1), "{deed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_held_until_the_next_has_passed_or_for_so_long() {
        let rule = rule(json!({"at": "response", "do": {"reorder": true}, "times": 2}));
        let first = rule.fire(None).expect("as it should be");
        let held = tokio::spawn(async move { first.hold().await });
        tokio::task::yield_now().await;
        let next = rule.fire(None).expect("as it should be");
        next.hold().await;
        assert!(next.overtakes() && !held.is_finished());
        drop(next);
        held.await.expect("as it should be");
        // Nobody comes: it goes on by itself, and whoever comes then is held in turn.
        rule.fire(None).expect("as it should be").hold().await;
        assert!(rule.fire(None).is_none(), "the rule is spent");
        assert_eq!(rule.fired(), 2);
    }
}
