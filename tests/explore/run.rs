//! One run: actors, the world behind their gates, and a step at a time of whoever is chosen.

use super::actor::{Actor, Part, event, order};
use super::bank::Bank;
use super::check::{self, Finding};
use super::gate::Wish;
use super::place::brief;
use super::play::{Accidents, Choice, Event, Play};
use super::redis::{Keys, Redis, Seen};
use super::sidecar::{Counts, Sidecar};
use super::wire::{self, Reply, Request};
use onceward::config::Config;
use std::collections::BTreeMap;
use std::path::Path;

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
    pub stage: Stage<'a>,
    pub counts: Counts,
    pub bank: Bank,
    pub actors: Vec<Actor>,
    /// Commands that are held up, and who sent them.
    pub held_up: Vec<(String, Vec<Vec<u8>>)>,
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
    pub gone: usize,
    pub alarms: u64,
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
            bank: Bank { firm: play.firm, forgets: play.forgets, ..Bank::default() },
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

    pub fn apply(&mut self, choice: Choice) {
        match choice {
            Choice::Act(at, event) => self.act(at, event),
            Choice::LoseLease => {
                self.left.spend(|left| &mut left.lease);
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

    pub fn lose_callback_lease(&mut self) {
        let (redis, keys) = (&mut self.stage.redis, self.stage.keys);
        redis.say(&["DEL", &keys.callback_lease]);
    }

    pub fn act(&mut self, at: usize, event: Event) {
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
            self.left.spend(|left| &mut left.crash);
            actor.dead = true;
            return self.trail.push(format!("{name} dies before {what}"));
        }
        let (heard, answer) = match (wish, event) {
            (Wish::Script(command), Event::HoldUp) => {
                self.left.spend(|left| &mut left.late);
                self.held_up.push((name.clone(), command));
                ("nothing: it is held up".to_owned(), None)
            }
            (Wish::Script(command), _) => {
                let (script, reply) = self.run_script(&command);
                if script == "claim" && reply.words[0] == "granted" && event == Event::Pass {
                    let fence = reply.words[1].parse().expect("a fence");
                    self.actors[at].granted.push(fence);
                }
                (brief(script, &reply), Some(reply.raw))
            }
            (Wish::Request(_), Event::Decline) => {
                self.left.spend(|left| &mut left.decline);
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
                Some(wire::command(&["granted", "1", "1", "none", "0"]))
            }
            Event::LoseReply => None,
            _ => answer,
        };
        if lost {
            self.left.spend(|left| &mut left.lost);
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
        actor.cut |= answer.is_none();
        actor.sidecar.gate.release(answer);
        actor.proceed();
    }

    fn run_script(&mut self, command: &[Vec<u8>]) -> (&'static str, Reply) {
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
        (name, reply)
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
                let fence = check::argument(words, 2).parse().expect("a fence");
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
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // A connection that was cut makes its sidecar wary, which the next run must not meet.
        let over = self.actors.drain(..).filter(|actor| actor.over && !actor.dead && !actor.cut);
        self.stage.idle.extend(over.map(|actor| actor.sidecar));
    }
}

fn permit(permitted: &mut Vec<u64>, fence: u64) {
    if !permitted.contains(&fence) {
        permitted.push(fence);
    }
}

/// Names of everything about the order, as every sidecar calls it.
pub fn keys(sidecar: &Sidecar) -> Keys {
    Keys::new(sidecar.names(), &order(), &event())
}
