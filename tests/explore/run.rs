//! One run: actors, the world behind their gates, and a step at a time of whoever is chosen.

use super::actor::{Actor, Part, event, order};
use super::bank::Bank;
use super::check::{self, Finding};
use super::gate::Wish;
use super::redis::{Keys, Redis, Seen};
use super::sidecar::{Counts, Sidecar};
use super::wire::{self, Request};
use onceward::config::Config;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// How many accidents may happen in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accidents {
    /// An actor dies: what it was about to do is not done, now or ever.
    pub crash: u8,
    /// Redis or the payment service does it, and the answer is lost.
    pub lost: u8,
    /// A command is held up on the way, its sender hears nothing, and it arrives later or never.
    pub late: u8,
    /// The order's lease is gone, whoever holds it.
    pub lease: u8,
    /// The payment service declines to begin (429).
    pub decline: u8,
    /// All of them together.
    pub all: u8,
}

impl Accidents {
    fn may(&self, kind: impl Fn(&Accidents) -> u8) -> bool {
        self.all > 0 && kind(self) > 0
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Act(usize, Event),
    LoseLease,
    Deliver(usize),
    /// What is held up never arrives.
    Forget,
}

/// What becomes of an actor's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Pass,
    LoseReply,
    HoldUp,
    Crash,
    Decline,
    /// It has waited long enough for another copy of its callback.
    Leave,
}

/// What is played.
#[derive(Clone, Debug)]
pub struct Play {
    pub cast: Vec<Part>,
    pub accidents: Accidents,
    /// A charge cannot be paid back by a cancel.
    pub firm: bool,
    /// The route says on_unknown retry.
    pub retry: bool,
    /// RESOLVE_DEADLINE is over when a resolver comes.
    pub overdue: bool,
    /// The guard takes a claim whose answer it did not get for granted: a mistake.
    pub believes: bool,
}

/// What lasts from run to run.
pub struct Stage<'a> {
    pub redis: &'a mut Redis,
    pub keys: &'a Keys,
    pub config: &'a Config,
    pub folder: &'a Path,
    pub idle: &'a mut Vec<Sidecar>,
}

/// A run under way.
pub struct Run<'a> {
    stage: Stage<'a>,
    pub counts: Counts,
    pub bank: Bank,
    pub actors: Vec<Actor>,
    /// Commands that are held up, and who sent them.
    held_up: Vec<(String, Vec<Vec<u8>>)>,
    pub left: Accidents,
    pub play: &'a Play,
    /// Fences under which, or after which, another attempt was permitted.
    pub permitted: Vec<u64>,
    /// The state each fence's claim left.
    pub granted_from: BTreeMap<u64, String>,
    pub acknowledgement_stored: bool,
    /// What was done, for people to read.
    pub trail: Vec<String>,
    pub seen: Seen,
    /// How many actors are dead or done, and the alarms that were raised up to then.
    gone: usize,
    alarms: u64,
    pub findings: Vec<Finding>,
    /// The last script that ran: its name, its words, its answer.
    pub last: Option<(&'static str, Vec<String>, Vec<String>)>,
}

impl<'a> Run<'a> {
    /// Everybody at the gate for the first time, nothing done.
    pub fn start(stage: Stage<'a>, play: &'a Play) -> Run<'a> {
        stage.redis.forget(stage.keys);
        let mut run = Run {
            stage,
            counts: Counts::new(),
            bank: Bank { firm: play.firm, ..Bank::default() },
            actors: Vec::new(),
            held_up: Vec::new(),
            left: play.accidents,
            play,
            permitted: Vec::new(),
            granted_from: BTreeMap::new(),
            acknowledgement_stored: false,
            trail: Vec::new(),
            seen: Seen::default(),
            gone: 0,
            alarms: 0,
            findings: Vec::new(),
            last: None,
        };
        for (at, part) in play.cast.iter().enumerate() {
            let like = play.cast[..at].iter().filter(|other| *other == part).count();
            let letter = char::from(b'A' + u8::try_from(like).expect("a small cast"));
            run.enter(*part, format!("{part:?} {letter}"));
        }
        run
    }

    pub fn enter(&mut self, part: Part, name: String) {
        let sidecar = self.stage.idle.pop();
        let sidecar = sidecar.unwrap_or_else(|| Sidecar::start(self.stage.folder));
        self.actors.push(Actor::start(part, name, sidecar, (self.stage.config, &self.counts)));
    }

    /// Everything that may happen now.
    pub fn choices(&self) -> Vec<Choice> {
        let deliveries = (0..self.held_up.len()).map(Choice::Deliver);
        if self.is_over() {
            let forget = (!self.held_up.is_empty()).then_some(Choice::Forget);
            return forget.into_iter().chain(deliveries).collect();
        }
        let mut choices = Vec::new();
        for (at, actor) in self.actors.iter().enumerate() {
            if actor.dead || actor.over || !self.may_begin(at) {
                continue;
            }
            let wish = actor.sidecar.gate.standing().expect("a wish");
            choices.push(Choice::Act(at, Event::Pass));
            if self.left.may(|left| left.lost) {
                choices.push(Choice::Act(at, Event::LoseReply));
            }
            if let (Wish::Script(command), true) = (&wish, self.left.may(|left| left.late))
                && self.stage.redis.name_of(command) != "look"
            {
                choices.push(Choice::Act(at, Event::HoldUp));
            }
            // One that dies before its first step is a run without it.
            if self.left.may(|left| left.crash) && actor.steps > 0 {
                choices.push(Choice::Act(at, Event::Crash));
            }
            // Its channel has its answer after 4 s; later than anything else is soon enough.
            if actor.waits() && self.others_wait(at) {
                choices.push(Choice::Act(at, Event::Leave));
            }
            if self.left.may(|left| left.decline) && is_payment(&wish) {
                choices.push(Choice::Act(at, Event::Decline));
            }
        }
        if self.left.may(|left| left.lease) && !self.seen.lease.is_empty() {
            choices.push(Choice::LoseLease);
        }
        choices.extend(deliveries);
        choices
    }

    /// Twins begin in the order of their names: which of them is called A is whoever came first.
    /// A notification comes once there is something to notify of.
    fn may_begin(&self, at: usize) -> bool {
        let actor = &self.actors[at];
        let twin = self.actors[..at].iter().rfind(|other| other.part == actor.part);
        actor.steps > 0
            || twin.is_none_or(|twin| twin.steps > 0)
                && (actor.part != Part::Callback || !self.bank.charges.is_empty())
    }

    fn others_wait(&self, at: usize) -> bool {
        let others = self.actors.iter().enumerate().filter(|(other, _)| *other != at);
        let mut others = others.filter(|(other, _)| self.may_begin(*other));
        others.all(|(_, other)| other.dead || other.over || other.waits())
    }

    /// Whether anybody is left who would go on by himself.
    pub fn is_over(&self) -> bool {
        self.actors.iter().enumerate().all(|(at, a)| a.dead || a.over || !self.may_begin(at))
    }

    pub fn apply(&mut self, choice: Choice) {
        match choice {
            Choice::Act(at, event) => self.act(at, event),
            Choice::LoseLease => {
                spend(&mut self.left.lease, &mut self.left.all);
                self.lose_lease();
                self.trail.push("*** the lease is lost".into());
            }
            Choice::Forget => self.held_up.clear(),
            Choice::Deliver(at) => {
                let (sender, command) = self.held_up.remove(at);
                let (name, reply) = self.run_script(&command);
                self.trail.push(format!(
                    "*** held up, {sender}'s {name} arrives: {}",
                    brief(name, &reply)
                ));
            }
        }
    }

    pub fn lose_lease(&mut self) {
        let (redis, keys) = (&mut self.stage.redis, self.stage.keys);
        redis.say(&["DEL", &keys.lease]);
    }

    fn lose_callback_lease(&mut self) {
        let (redis, keys) = (&mut self.stage.redis, self.stage.keys);
        redis.say(&["DEL", &keys.callback_lease]);
    }

    fn act(&mut self, at: usize, event: Event) {
        let actor = &mut self.actors[at];
        actor.steps += 1;
        let name = actor.name.clone();
        let wish = actor.sidecar.gate.standing().expect("a wish");
        let what = match &wish {
            Wish::Script(command) => self.stage.redis.name_of(command).to_owned(),
            Wish::Request(request) => format!("{} {}", request.method, request.path),
        };
        if event == Event::Leave {
            actor.dead = true;
            return self.trail.push(format!("{name} is told to come again"));
        }
        if event == Event::Crash {
            spend(&mut self.left.crash, &mut self.left.all);
            actor.dead = true;
            return self.trail.push(format!("{name} dies before {what}"));
        }
        let (heard, answer) = match (wish, event) {
            (Wish::Script(command), Event::HoldUp) => {
                spend(&mut self.left.late, &mut self.left.all);
                self.held_up.push((name.clone(), command));
                ("nothing: it is held up".to_owned(), None)
            }
            (Wish::Script(command), _) => {
                let (script, reply) = self.run_script(&command);
                let (words, raw) = reply.split();
                if script == "claim" && words[0] == "granted" && event == Event::Pass {
                    let fence = words[1].parse().expect("a fence");
                    self.actors[at].granted.push(fence);
                }
                (brief_words(script, &words), Some(raw))
            }
            (Wish::Request(_), Event::Decline) => {
                spend(&mut self.left.decline, &mut self.left.all);
                ("429".to_owned(), Some(Bank::decline()))
            }
            (Wish::Request(request), _) => {
                let answer = self.upstream(at, &request);
                let text = String::from_utf8_lossy(&answer).into_owned();
                let status = text.split(' ').nth(1).unwrap_or_default().to_owned();
                let body = text.rsplit("\r\n").next().unwrap_or_default();
                (format!("{status} {body}"), Some(answer))
            }
        };
        let lost = event == Event::LoseReply;
        let answer = match event {
            Event::LoseReply | Event::HoldUp if self.play.believes && what == "claim" => {
                Some(wire::command(&["granted", "1", "1", "none"]))
            }
            Event::LoseReply => None,
            _ => answer,
        };
        if lost {
            spend(&mut self.left.lost, &mut self.left.all);
        }
        let note = if lost { " (the answer is lost)" } else { "" };
        self.trail.push(format!("{name}: {what} -> {heard}{note}"));
        let actor = &mut self.actors[at];
        let heard = if lost { "nothing".to_owned() } else { heard };
        let heard = format!("{what} {heard}");
        // Who asks again and hears the same stands where it stood.
        if lost || actor.heard.last() != Some(&heard) {
            actor.heard.push(heard);
        }
        actor.sidecar.gate.release(answer);
        actor.proceed();
    }

    fn run_script(&mut self, command: &[Vec<u8>]) -> (&'static str, Answered) {
        let (redis, keys) = (&mut self.stage.redis, self.stage.keys);
        let name = redis.name_of(command);
        if name == "adopt" {
            // Its turn has come, however long that takes.
            redis.say(&["ZADD", &keys.due, "XX", "0", &keys.id]);
            if self.play.overdue {
                redis.say(&["ZADD", &keys.unknown, "XX", "0", &keys.id]);
            }
        }
        let reply = redis.run(command);
        let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
        let words: Vec<_> = command.iter().map(text).collect();
        self.note(name, &words, &reply.words);
        self.last = Some((name, words, reply.words.clone()));
        (name, Answered { words: reply.words, raw: reply.raw })
    }

    /// What follows from an answer for what is permitted from now on.
    fn note(&mut self, script: &str, words: &[String], reply: &[String]) {
        match (script, reply[0].as_str()) {
            ("claim", "granted") => {
                let fence = reply[1].parse().expect("a fence");
                if self.play.retry && reply[3] == "unknown" {
                    permit(&mut self.permitted, fence - 1);
                }
                self.granted_from.insert(fence, reply[3].clone());
            }
            ("release", "released") if self.bank.said_absent => {
                let fence = check::argument(words, 1).parse().expect("a fence");
                permit(&mut self.permitted, fence);
            }
            ("settle_callback", "stored") => self.acknowledgement_stored = true,
            _ => {}
        }
    }

    fn upstream(&mut self, at: usize, request: &Request) -> Vec<u8> {
        let others = |path: &str| {
            let others = self.actors.iter().enumerate().filter(|(other, _)| *other != at);
            others.filter(|(_, actor)| !actor.dead).any(|(_, actor)| {
                matches!(actor.sidecar.gate.standing(), Some(Wish::Request(r)) if r.path == path)
            })
        };
        let (paying, notifying) = (others("/pay"), others("/notify"));
        let answer = self.bank.hear(request, paying);
        match request.path.as_str() {
            "/pay" => check::sent(self, at, request.fence),
            "/notify" => check::notified(self, notifying),
            _ => {}
        }
        answer
    }

    /// Looks at what stands in Redis now, and whether it may follow what stood there before.
    pub fn look(&mut self, judge: bool) {
        let now = self.stage.redis.look(self.stage.keys);
        let before = std::mem::replace(&mut self.seen, now);
        if judge {
            check::step(self, &before);
        }
    }

    /// All that what may still happen depends on.
    pub fn digest(&mut self) -> [u8; 32] {
        use std::fmt::Write;
        let gone = self.actors.iter().filter(|actor| actor.dead || actor.over).count();
        if gone != self.gone {
            self.gone = gone;
            self.alarms = self.counts.alarms();
        }
        let mut text = String::with_capacity(2048);
        let Seen { record, lease, listed, callback, callback_lease, .. } = &self.seen;
        let _ = write!(text, "{record:?}{lease}{listed:?}{callback:?}{callback_lease}");
        let _ = write!(text, "{:?}{:?}{:?}", self.bank, self.left, self.permitted);
        let _ = write!(text, "{:?}{}", self.granted_from, self.acknowledgement_stored);
        for (sender, command) in &self.held_up {
            let words = command.iter().map(|word| String::from_utf8_lossy(word));
            let _ = write!(text, "{sender}{:?}", words.collect::<Vec<_>>());
        }
        let _ = write!(text, "{:?}", self.findings);
        let _ = write!(text, "{}", self.alarms);
        for actor in &self.actors {
            let _ = write!(text, "{}{}{:?}", actor.dead, actor.over, actor.told());
            // Whoever does nothing any more is no longer moved by what it heard.
            if !actor.dead && !actor.over {
                let _ = write!(text, "{:?}{:?}", actor.heard, actor.granted);
            }
        }
        for actor in &self.actors {
            text = text.replace(&actor.sign, &actor.name);
        }
        Sha256::digest(text).into()
    }

    /// Time passes, nothing breaks any more, and everybody who should looks after the order; then
    /// two more duplicates come.
    pub fn finish(&mut self) {
        self.trail.push("--- time passes: no lease holds, and no more accidents".into());
        for round in 1..=ROUNDS {
            self.lose_lease();
            self.look(true);
            if self.seen.state().is_final() || self.seen.record.is_empty() {
                break;
            }
            self.act_out(Part::Resolver, format!("survey {round}"));
            if self.seen.state() == onceward::model::order::State::None {
                break;
            }
        }
        let looks = self.play.cast.contains(&Part::LookingPayer);
        let payer = if looks { Part::LookingPayer } else { Part::Payer };
        for name in ["late duplicate 1", "late duplicate 2"] {
            self.act_out(payer, name.into());
        }
        if self.play.cast.contains(&Part::Callback) && !self.bank.charges.is_empty() {
            self.lose_callback_lease();
            self.act_out(Part::Callback, "the channel again".into());
            check::acknowledged(self);
        }
        check::end(self);
    }

    fn act_out(&mut self, part: Part, name: String) {
        self.enter(part, name);
        let at = self.actors.len() - 1;
        while !self.actors[at].over {
            self.act(at, Event::Pass);
            self.look(true);
        }
    }

    /// The schedule and the order's history.
    pub fn story(&self) -> String {
        let mut lines = self.trail.clone();
        lines.push(format!(
            "charges under fences {:?}, paid back {}",
            self.bank.charges, self.bank.paid_back
        ));
        for actor in &self.actors {
            lines.push(match actor.told() {
                Some(told) => format!("{} was told {told:?}", actor.name),
                None => format!("{} was told nothing", actor.name),
            });
        }
        lines.push("the order's history:".into());
        lines.extend(self.seen.history.lines().map(|line| format!("  {line}")));
        let mut story = lines.join("\n");
        for actor in &self.actors {
            story = story.replace(&actor.sign, &actor.name);
        }
        story
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let over = self.actors.drain(..).filter(|actor| actor.over && !actor.dead);
        self.stage.idle.extend(over.map(|actor| actor.sidecar));
    }
}

/// Turns after which an order must have come to its end.
const ROUNDS: usize = 6;

struct Answered {
    words: Vec<String>,
    raw: Vec<u8>,
}

impl Answered {
    fn split(self) -> (Vec<String>, Vec<u8>) {
        (self.words, self.raw)
    }
}

fn spend(one: &mut u8, all: &mut u8) {
    *one -= 1;
    *all -= 1;
}

fn permit(permitted: &mut Vec<u64>, fence: u64) {
    if !permitted.contains(&fence) {
        permitted.push(fence);
    }
}

fn is_payment(wish: &Wish) -> bool {
    matches!(wish, Wish::Request(request) if request.path == "/pay")
}

fn brief(script: &str, answered: &Answered) -> String {
    brief_words(script, &answered.words)
}

/// An answer without its times.
fn brief_words(script: &str, words: &[String]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let kept = match (script, words[0]) {
        ("claim", "found") => &words[..words.len() - 1],
        ("look", "order") => {
            let mut fields = Vec::new();
            for pair in words[3..].chunks_exact(2) {
                if ["state", "fence", "asks", "stored", "status", "body"].contains(&pair[0]) {
                    fields.push(format!("{}={}", pair[0], pair[1]));
                }
            }
            fields.sort();
            return fields.join(" ");
        }
        (_, "held" | "busy" | "early") => &words[..1],
        ("adopt", "adopted") => &words[..2],
        _ => &words[..],
    };
    kept.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

/// Names of everything about the order, as every sidecar calls it.
pub fn keys(sidecar: &Sidecar) -> Keys {
    Keys::new(sidecar.names(), &order(), &event())
}
