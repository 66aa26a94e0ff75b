//! Records of earlier releases are read and go on; of a later one nothing is guessed.

use super::bench::{
    Bench, CALLER, FINAL, KEEP, LEASE, PAYLOAD, UNCHANGED, answer, found, granted, step,
};
use onceward::model::identity::Order;
use onceward::model::order::State::{self, *};
use onceward::model::response::{Kept, StoredResponse};
use onceward::store::StoreError;
use onceward::store::callbacks::Arrival;
use onceward::store::orders::{Claim, Lapse, Settle};
use std::time::Duration;

/// How much longer a record of an earlier format is kept here.
const LEFT: Duration = Duration::from_secs(5000);

/// The formats there were.
const EARLIER: [u8; 2] = [1, 2];

/// Turns a hash of a word a field into one of three parts. KEYS record.
const IN_THREE_PARTS: &str = "
local asked, stands, all = {}, {}, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do stands[all[i]] = all[i + 1] end
for word in string.gmatch('route key scope fingerprint caller ask move', '%a+') do
  asked[word], stands[word] = stands[word], nil
end
local s = stands
local answered = {no = 'no', large = 'large ' .. (s.status or ''), yes = 'yes ' .. (s.status or '')
  .. ' ' .. #(s.headers or '') .. '\n' .. (s.headers or '') .. (s.body or '')}
answered = answered[s.stored]
s.stored, s.status, s.headers, s.body, s.v = nil, nil, nil, nil, '2'
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'stands', cmsgpack.pack(stands), 'asked', cmsgpack.pack(asked))
if answered then redis.call('HSET', KEYS[1], 'answered', answered) end";

impl Bench {
    /// As the sidecar left the first attempt of an order that wrote this format: 1, a word a field;
    /// or 2, three parts.
    fn of_format(&self, format: u8, state: State, more: &[&str]) {
        let (name, attempt) = (self.record(), self.attempt("A"));
        let words = [
            &["HSET", &name, "v", "1", "state", state.word(), "fence", "1"][..],
            &["attempt", attempt.as_str(), "attempts", "1", "from", "none", "token", ""],
            &["fingerprint", PAYLOAD, "caller", CALLER, "route", "pay", "key", "2024-0001"],
            &["scope", "tenant", "created", "1700000000000", "updated", "1700000000001"],
            &["ask", "40000", "asks", "0", "history", "1700000000000 none in_flight r claimed\n"],
            more,
        ];
        self.redis.command(&words.concat());
        if format == 2 {
            self.redis.command(&["EVAL", IN_THREE_PARTS, "1", &name]);
        }
        let keep = LEFT.as_millis().to_string();
        self.redis.command(&["PEXPIRE", &self.record(), &keep]);
    }

    /// It reads as it did, and is written in today's format.
    async fn assert_of_today(&self, state: State, kept: &Kept) {
        assert_eq!(self.redis.record_word(&self.record(), "v"), "3");
        let record = self.look().await;
        assert_eq!((record.state, &record.kept), (state, kept));
        assert_eq!((&*record.route, &*record.key, &*record.scope), ("pay", "2024-0001", "tenant"));
        assert_eq!((record.fence, record.attempts, &*record.caller), (1, 1, CALLER));
        assert_eq!(record.history[0].why, "claimed");
    }
}

const RESPONSE: [&str; 10] = [
    "settled",
    "A",
    "stored",
    "yes",
    "status",
    "200",
    "headers",
    "x-channel: alipay\r\n",
    "body",
    "paid",
];

#[tokio::test]
async fn a_final_record_of_an_earlier_format_is_replayed_as_it_is() {
    let answers = [
        (&RESPONSE[..], answer(200, b"paid")),
        (
            &["stored", "large", "status", "200", "headers", "", "body", ""],
            Kept::TooLarge(200.try_into().unwrap()),
        ),
        (&["stored", "no", "status", "", "headers", "", "body", ""], Kept::Nothing),
    ];
    for (format, (more, kept)) in EARLIER.into_iter().flat_map(|f| answers.clone().map(|a| (f, a)))
    {
        let bench = Bench::new();
        bench.of_format(format, Succeeded, more);
        assert_eq!(found(bench.claim("B").await), (Succeeded, kept.clone()));
        let other = bench.ask("B").payload("other");
        assert_eq!(other.claim().await, Claim::Mismatch(Succeeded));
        assert_eq!(bench.look().await.kept, kept);
        assert_eq!(bench.look().await.history.len(), 1);
        bench.assert_kept(&bench.record(), LEFT);
    }
}

#[tokio::test]
async fn an_attempt_that_began_in_an_earlier_format_is_settled() {
    for format in EARLIER {
        let bench = Bench::new();
        bench.of_format(format, InFlight, &[]);
        let owner = format!("{}:1", bench.attempt("A").as_str());
        bench.redis.command(&["SET", &bench.lease(), &owner, "PX", "30000"]);
        // A duplicate's wish to be told is the first write; nothing else changes.
        assert_eq!(found(bench.claim("B").await), (InFlight, Kept::Nothing));
        bench.assert_of_today(InFlight, &Kept::Nothing).await;
        bench.assert_kept(&bench.record(), LEFT);
        let paid = answer(200, b"paid");
        assert_eq!(bench.settle_with("A", 1, Succeeded, &paid).await, Settle::Settled);
        bench.assert_of_today(Succeeded, &paid).await;
        bench.assert_kept(&bench.record(), FINAL);
    }
}

#[tokio::test]
async fn an_attempt_that_began_in_an_earlier_format_is_settled_at_once() {
    for format in EARLIER {
        let bench = Bench::new();
        bench.of_format(format, InFlight, &[]);
        let paid = answer(200, b"paid");
        assert_eq!(bench.settle_with("A", 1, Succeeded, &paid).await, Settle::Settled);
        bench.assert_of_today(Succeeded, &paid).await;
        bench.assert_kept(&bench.record(), FINAL);
    }
}

#[tokio::test]
async fn an_order_of_an_earlier_format_whose_holder_died_is_unknown_and_is_not_run_again() {
    for format in EARLIER {
        let bench = Bench::new();
        bench.of_format(format, InFlight, &[]);
        assert_eq!(bench.claim("B").await, Claim::Lapsed { fence: 1 });
        assert_eq!(bench.lapse(Some(1)).await, Lapse::Lapsed(1));
        bench.assert_of_today(Unknown, &Kept::Nothing).await;
        assert_eq!(bench.indexed(&bench.due()), [&*bench.order.id]);
        assert_eq!(found(bench.claim("B").await), (Unknown, Kept::Nothing));
    }
}

#[tokio::test]
async fn an_order_of_an_earlier_format_that_may_run_again_does_under_a_higher_fence() {
    for format in EARLIER {
        let bench = Bench::new();
        bench.of_format(format, State::None, &["void", bench.attempt("A").as_str()]);
        assert_eq!(bench.claim("A").await, Claim::Voided);
        assert_eq!(bench.claim("B").await, granted(2, None));
        bench.assert_kept(&bench.record(), KEEP);
    }
}

#[tokio::test]
async fn a_record_of_a_later_release_is_not_guessed_at_and_not_touched() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Succeeded).await;
    bench.redis.change_record(&bench.record(), &["v", "4"]);
    let writes = bench.writes();
    let refused = bench.ask("B").try_claim().await.unwrap_err();
    assert!(matches!(&refused, StoreError::Declined(word) if word == "FORMAT"), "{refused}");
    assert!(bench.try_settle("A", 1, Failed, &Kept::Nothing).await.is_err());
    assert!(bench.store.look(&bench.order).await.is_err());
    assert_eq!(bench.writes(), writes);
}

#[tokio::test]
async fn a_callback_or_a_lifecycle_of_a_later_release_is_not_guessed_at_either() {
    let bench = Bench::new().moving();
    let event = bench.event("PAID");
    bench.accept(&event, "A").await;
    bench.acknowledge(&event, "A", 1).await;
    bench.claim("A").await;
    let callback = bench.store.names().callback(&event);
    for name in [&callback, &bench.lifecycle()] {
        assert_eq!(bench.redis.command(&["HGET", name, "v"]), "1", "{name}");
        bench.redis.command(&["HSET", name, "v", "2"]);
    }
    let writes = bench.writes();
    let declined = |error: StoreError| {
        assert!(matches!(&error, StoreError::Declined(word) if word == "FORMAT"), "{error}");
    };
    let (attempt, lease) = (&bench.attempt("B"), LEASE);
    let arrival = Arrival {
        event: &event,
        attempt,
        lease,
        keep: KEEP,
        unchanged: UNCHANGED,
        forward: true,
        trace: Option::None,
    };
    declined(bench.store.accept_callback(&arrival).await.unwrap_err());
    let answer = StoredResponse {
        status: hyper::StatusCode::OK,
        headers: hyper::HeaderMap::new(),
        body: "success".into(),
    };
    let of_attempt = (&bench.attempt("A"), 1);
    let stored = bench.store.settle_callback(&event, of_attempt, KEEP, UNCHANGED, &answer).await;
    declined(stored.unwrap_err());
    declined(bench.store.drop_callback(&event, of_attempt).await.unwrap_err());
    // Nobody may be told that an order's move was made that was not.
    declined(bench.try_settle("A", 1, Succeeded, &Kept::Nothing).await.unwrap_err());
    let other = Order::new("ship".into(), "tenant", bench.order.key.clone());
    let other = other.moving(&step(&["open"], "shipped"));
    declined(bench.ask("B").order(other).try_claim().await.unwrap_err());
    assert_eq!(bench.writes(), writes);
}
