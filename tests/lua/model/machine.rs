//! One order as the contract and the scripts' headers tell it: no Redis, no clock.

use super::event::{Call, Reply, Speaker};
use super::life::{Bar, Life};
use onceward::model::order::State;
use onceward::model::response::Kept;
use onceward::store::cancel::Cancel;
use onceward::store::conclude::Conclude;
use onceward::store::orders::{Abandon, Claim, Lapse, Renewal, Settle};
use onceward::store::record::Found;
use onceward::store::resolve::{Adopt, Release, Resolve};
use std::time::Duration;

/// When the order is next looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Now,
    Later,
}

/// All that the scripts may know of one order.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Nothing: nobody has seen it, but attempts may be barred all the same.
    pub stands: Option<State>,
    pub fence: u64,
    pub attempts: u64,
    /// How often its turn came.
    pub asks: u64,
    /// The attempt it was granted to last.
    pub owner: Option<&'static str>,
    /// Whether that attempt's lease holds; nobody else can have one.
    pub leased: bool,
    /// What its claim found.
    left: Option<State>,
    /// Whether its outcome, should it be unknown, can be asked for.
    askable: bool,
    /// Attempts that can never claim it again.
    barred: Vec<&'static str>,
    /// What it is bound to.
    fingerprint: Option<&'static str>,
    pub caller: Option<&'static str>,
    /// Whose outcome was unknown when the order was allowed to run again: it and whatever else is told
    /// of the order are still welcome while it has not begun to.
    released: Option<&'static str>,
    /// Its attempt's lease ran out, and nothing was told since; whose outcome was welcome before.
    lapsed: Option<Option<&'static str>>,
    /// Who told its end, the response that goes with it, and the end a cancelled attempt told.
    ended_by: Option<&'static str>,
    response: Option<Kept>,
    told: Option<State>,
    /// Somebody else than its attempt told that it was paid, while it was being cancelled.
    paid: bool,
    /// The turn it was last taken for.
    turn: Option<&'static str>,
    pub due: Option<Due>,
    /// In the index of unknown outcomes; whether for longer than any deadline.
    pub unknown: Option<bool>,
    /// Its transitions.
    pub history: Vec<(State, State)>,
    /// Which of the orders of its number it is.
    number: usize,
    /// Where its lifecycle stood when its success came too late to move it.
    astray: Option<&'static str>,
}

/// Whether a comma-separated list of digests has one.
fn among(list: &str, digest: &str) -> bool {
    list.split(',').any(|each| each == digest)
}

fn first(list: &'static str) -> &'static str {
    list.split(',').next().unwrap_or(list)
}

fn allowed(from: State, to: State) -> bool {
    to.entered_from().contains(&from)
}

impl Model {
    /// The order of that number that nobody has seen.
    pub fn of(number: usize) -> Model {
        Model { number, ..Model::default() }
    }

    /// Where it stands, seen or not.
    pub fn state(&self) -> State {
        self.stands.unwrap_or(State::None)
    }

    /// Where a word about it meets it.
    fn met(&self) -> State {
        match self.state() {
            State::None | State::Queued if self.released.is_some() => State::Unknown,
            state => state,
        }
    }

    /// The response a duplicate, or an operator, is shown.
    pub fn shown(&self) -> Kept {
        match self.stands {
            Some(State::InFlight) if self.leased => Kept::Nothing,
            _ => self.response.clone().unwrap_or(Kept::Nothing),
        }
    }

    /// What the call does, and is told.
    pub fn hear(&mut self, call: &Call, life: &mut Life) -> Reply {
        match *call {
            Call::Claim { who, retry, fingerprints, callers, askable } => {
                Reply::Claim(self.claim(who, retry, fingerprints, callers, askable, life))
            }
            Call::Renew { who, fence } => Reply::Renewal(self.renew(who, fence)),
            Call::Settle { who, fence, to, ref kept } => {
                Reply::Settle(self.settle(who, fence, to, kept, life))
            }
            Call::Abandon { who } => Reply::Abandon(self.abandon(who, life)),
            Call::Lapse { fence } => Reply::Lapse(self.lapse(fence)),
            Call::Cancel { caller, confirm } => Reply::Cancel(self.cancel(caller, confirm, life)),
            Call::Adopt { turn, fence, asks, deadline } => {
                Reply::Adopt(self.adopt(turn, fence, asks, deadline))
            }
            Call::Resolve { turn, fence, to, ref word } => {
                Reply::Resolve(self.resolve(turn, fence, to, word, life))
            }
            Call::Release { turn, fence } => Reply::Release(self.release(turn, fence, life)),
            Call::Conclude { to } => Reply::Conclude(self.conclude(to, life)),
            Call::OutlastMove => {
                life.mover = None;
                Reply::None
            }
            Call::LoseLease => {
                self.leased = false;
                Reply::None
            }
            Call::MakeDue => {
                self.due = self.due.map(|_| Due::Now);
                Reply::None
            }
            Call::MakeOld => {
                self.unknown = self.unknown.map(|_| true);
                Reply::None
            }
        }
    }

    /// Ended on a callback's word while its attempt goes on, whose response is still to come.
    fn is_unfinished(&self) -> bool {
        let told = self.ended_by.is_some() || self.response.is_some();
        self.state().is_final() && self.leased && !told
    }

    fn enter(&mut self, to: State) {
        self.history.push((self.state(), to));
        self.stands = Some(to);
    }

    /// In the indexes as a state without a lease is.
    fn index(&mut self) {
        let unknown = self.state() == State::Unknown;
        self.unknown = unknown.then(|| self.unknown.unwrap_or(false));
        self.due = (unknown && self.askable).then_some(Due::Later);
    }

    fn claim(
        &mut self,
        who: &'static str,
        retry: bool,
        fingerprints: &'static str,
        callers: &'static str,
        askable: bool,
        life: &mut Life,
    ) -> Claim {
        let (state, fence) = (self.state(), self.fence);
        if self.barred.contains(&who) {
            return Claim::Voided;
        }
        if state == State::InFlight && self.owner == Some(who) {
            self.leased = true;
            return self.granted();
        }
        let bound = state != State::None || self.released.is_some();
        if bound && self.fingerprint.is_some_and(|one| !among(fingerprints, one)) {
            return Claim::Mismatch(state);
        }
        if state == State::InFlight && !self.leased {
            return Claim::Lapsed { fence };
        }
        let open = state == State::None || (retry && state == State::Unknown);
        if !open || self.owner == Some(who) {
            let state = if self.is_unfinished() { State::InFlight } else { state };
            let timed = matches!(state, State::InFlight | State::Succeeded | State::Failed);
            let left = if timed { super::LONG } else { Duration::ZERO };
            return Claim::Found(Found { state, fence, kept: self.shown(), left, trace: None });
        }
        match life.bars(self.number) {
            Some(Bar::Moving) => return Claim::Moving(state),
            Some(Bar::Illegal) => return Claim::Illegal(state, life.state.to_owned()),
            None => life.begin(self.number),
        }
        if bound {
            self.barred.extend(self.owner);
        }
        self.enter(State::InFlight);
        (self.left, self.lapsed) = (Some(state), None);
        self.unknown = None;
        self.due = Some(Due::Later);
        (self.fence, self.attempts, self.asks) = (fence + 1, self.attempts + 1, 0);
        (self.owner, self.leased, self.askable) = (Some(who), true, askable);
        (self.fingerprint, self.caller) = (Some(first(fingerprints)), Some(first(callers)));
        self.granted()
    }

    fn granted(&self) -> Claim {
        let from = self.left.unwrap_or(State::None);
        Claim::Granted { fence: self.fence, attempts: self.attempts, from, begun: None }
    }

    fn renew(&mut self, who: &'static str, fence: u64) -> Renewal {
        let state = self.state();
        let running = matches!(state, State::InFlight | State::Cancelling);
        let ended = state == State::Cancelling && self.ended_by == Some(who);
        if !running || ended || self.owner != Some(who) || self.fence != fence {
            return Renewal::Lost(state);
        }
        match std::mem::replace(&mut self.leased, true) {
            true => Renewal::Renewed,
            false => Renewal::Regained,
        }
    }

    /// It is written that it succeeded, or otherwise ended; its lifecycle may not have followed.
    fn settled(&self) -> Settle {
        match self.astray {
            Some(state) => Settle::Astray(state.to_owned()),
            None => Settle::Settled,
        }
    }

    fn settle(
        &mut self,
        who: &'static str,
        fence: u64,
        to: State,
        kept: &Kept,
        life: &mut Life,
    ) -> Settle {
        let Some(state) = self.stands else { return Settle::Gone };
        if self.owner != Some(who) || self.fence != fence {
            return Settle::Fenced(self.fence, state);
        }
        let again = self.ended_by == Some(who);
        if state == State::Cancelling {
            let open = matches!(self.told, None | Some(State::Unknown));
            if !again || (open && to != State::Unknown) {
                life.hear(self.number, State::Cancelling);
                self.history.push((state, state));
                (self.ended_by, self.told) = (Some(who), Some(to));
                if *kept != Kept::Nothing {
                    self.response = Some(kept.clone());
                }
                (self.leased, self.due) = (false, Some(Due::Now));
            }
            return Settle::Kept;
        }
        if state == to && again {
            return self.settled();
        }
        // Ended so on a callback's word, which brought no response.
        let lacks = self.ended_by.is_none() && self.response.is_none();
        if state == to && state.is_final() && lacks {
            if std::mem::take(&mut self.leased) {
                (self.ended_by, self.response) = (Some(who), Some(kept.clone()));
            }
            return self.settled();
        }
        let late = state == State::None && self.released == Some(who);
        if !allowed(if late { State::Unknown } else { state }, to) {
            self.leased &= !self.is_unfinished();
            let one_paid = (state == State::Succeeded) != (to == State::Succeeded);
            let against = state.is_final() && to.is_final() && one_paid;
            if against && !again && self.told != Some(to) {
                self.told = Some(to);
                self.history.push((state, state));
            }
            return Settle::Refused(state);
        }
        self.enter(to);
        (self.ended_by, self.response) = (Some(who), Some(kept.clone()));
        (self.leased, self.released, self.lapsed) = (false, None, None);
        self.index();
        self.astray = life.hear(self.number, to);
        self.settled()
    }

    fn abandon(&mut self, who: &'static str, life: &mut Life) -> Abandon {
        let (state, mine) = (self.state(), self.owner == Some(who));
        if self.barred.contains(&who) {
            return if mine { Abandon::Abandoned(state) } else { Abandon::Voided(state) };
        }
        if !mine {
            self.barred.push(who);
            return Abandon::Voided(state);
        }
        let lapsed = self.lapsed.filter(|_| state == State::Unknown);
        if state != State::InFlight && lapsed.is_none() {
            if state == State::Cancelling && self.leased {
                (self.leased, self.due) = (false, Some(Due::Now));
                self.ended_by = Some(who);
            }
            self.leased &= !state.is_final();
            return Abandon::Refused(state);
        }
        let back = self.left.unwrap_or(State::None);
        self.barred.push(who);
        if back != state {
            self.enter(back);
        }
        life.hear(self.number, back);
        self.leased = false;
        if let Some(before) = lapsed {
            (self.unknown, self.lapsed) = (None, None);
            self.released = before;
        }
        self.index();
        if back == State::None && self.released.is_none() {
            (self.fingerprint, self.caller, self.ended_by) = (None, None, None);
        }
        Abandon::Abandoned(back)
    }

    fn lapse(&mut self, fence: Option<u64>) -> Lapse {
        let state = self.state();
        if state != State::InFlight || fence.is_some_and(|fence| fence != self.fence) {
            return Lapse::Moved(state);
        }
        if self.leased {
            self.due = Some(Due::Later);
            return Lapse::Held(Duration::ZERO);
        }
        self.enter(State::Unknown);
        self.index();
        self.lapsed = Some(self.released.take());
        Lapse::Lapsed(self.fence)
    }

    fn cancel(&mut self, caller: Option<&'static str>, confirm: bool, life: &mut Life) -> Cancel {
        let state = self.state();
        if let (Some(asking), Some(owner)) = (caller, self.caller)
            && !among(asking, owner)
        {
            return Cancel::Absent;
        }
        let to = match state {
            State::Cancelled => return Cancel::Cancelled,
            State::Cancelling => return Cancel::Cancelling,
            State::Succeeded | State::Failed => return Cancel::Final(state),
            State::None | State::Queued => State::Cancelled,
            State::InFlight | State::Unknown if confirm => State::Cancelling,
            State::InFlight | State::Unknown => return Cancel::Refused(state),
        };
        self.enter(to);
        self.index();
        life.hear(self.number, to);
        (self.caller, self.asks) = (self.caller.or(caller.map(first)), 0);
        if to == State::Cancelled {
            return Cancel::Cancelled;
        }
        self.due = Some(Due::Now);
        Cancel::Cancelling
    }

    fn adopt(&mut self, turn: &'static str, fence: u64, asks: u64, deadline: bool) -> Adopt {
        let state = self.state();
        if !matches!(state, State::Unknown | State::Cancelling) {
            return Adopt::Moved(state);
        }
        if self.turn != Some(turn) {
            match self.due {
                Some(due) if (fence, asks) == (self.fence, self.asks) => {
                    if due == Due::Later {
                        return Adopt::Early(Duration::ZERO);
                    }
                }
                _ => return Adopt::Moved(state),
            }
            self.asks += 1;
            if state == State::Unknown && deadline && self.unknown == Some(true) {
                self.enter(State::Cancelling);
                (self.unknown, self.asks) = (None, 1);
            }
            (self.turn, self.due) = (Some(turn), Some(Due::Later));
        }
        let (quiet, turn) = (Duration::ZERO, Duration::ZERO);
        Adopt::Adopted { state: self.state(), quiet, turn, left: None }
    }

    fn resolve(
        &mut self,
        turn: &'static str,
        fence: Option<u64>,
        to: State,
        word: &Speaker,
        life: &mut Life,
    ) -> Resolve {
        let Some(state) = self.stands else { return Resolve::Gone };
        if self.ended_by == Some(turn) && state == to {
            return self.resolved();
        }
        if fence.is_some_and(|fence| fence != self.fence) {
            return Resolve::Fenced(self.fence);
        }
        let met = self.met();
        let nothing_sent = matches!(met, State::None | State::Queued);
        // Only its cancel call, or a person, ends one that is being cancelled.
        let asked = matches!(word, Speaker::Response(_)) && state == State::Cancelling;
        if asked && to == State::Succeeded {
            self.keep_paid();
            return Resolve::Kept;
        }
        if nothing_sent || asked || !allowed(met, to) {
            return Resolve::Refused(state);
        }
        if self.leased {
            return Resolve::Held(Duration::ZERO);
        }
        let paid = self.paid || self.told == Some(State::Succeeded);
        match word {
            Speaker::Absent if paid => return Resolve::Paid,
            Speaker::Response(kept) => self.response = Some(kept.clone()),
            Speaker::IfTold if self.told != Some(to) => self.response = Some(Kept::Nothing),
            Speaker::IfTold | Speaker::Keep | Speaker::Absent => {}
        }
        self.enter(to);
        self.index();
        (self.ended_by, self.released) = (Some(turn), None);
        self.astray = life.hear(self.number, to);
        self.resolved()
    }

    fn keep_paid(&mut self) {
        if !std::mem::replace(&mut self.paid, true) {
            self.history.push((State::Cancelling, State::Cancelling));
        }
    }

    fn resolved(&self) -> Resolve {
        match self.astray {
            Some(state) => Resolve::Astray(state.to_owned()),
            None => Resolve::Resolved,
        }
    }

    fn release(&mut self, turn: &'static str, fence: Option<u64>, life: &mut Life) -> Release {
        let Some(state) = self.stands else { return Release::Gone };
        if self.turn == Some(turn) {
            return Release::Released;
        }
        if fence.is_some_and(|fence| fence != self.fence) {
            return Release::Fenced(self.fence);
        }
        if state == State::None && self.released.is_some() {
            return Release::Again;
        }
        if state != State::Unknown {
            return Release::Refused(state);
        }
        self.enter(State::None);
        self.index();
        life.hear(self.number, State::None);
        (self.released, self.response, self.turn) = (self.owner, None, Some(turn));
        self.lapsed = None;
        Release::Released
    }

    fn conclude(&mut self, to: State, life: &mut Life) -> Conclude {
        let state = self.met();
        if state == State::None {
            return Conclude::Absent;
        }
        if let (true, Some(stands)) = (state == to, self.astray) {
            return Conclude::Astray(stands.to_owned());
        }
        if state == to {
            return Conclude::Already;
        }
        if (state, to) == (State::Cancelling, State::Succeeded) {
            self.keep_paid();
            return Conclude::Kept;
        }
        if !allowed(state, to) || state == State::Cancelling {
            return Conclude::Refused(state);
        }
        self.enter(to);
        self.index();
        (self.ended_by, self.response, self.released) = (None, None, None);
        self.astray = life.hear(self.number, to);
        match self.astray {
            Some(stands) => Conclude::Astray(stands.to_owned()),
            None => Conclude::Concluded(state),
        }
    }
}
