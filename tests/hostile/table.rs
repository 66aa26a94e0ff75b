//! The runner of the tables: bytes over one socket, and what must come of them.

use super::wire::{Wire, guarded};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::Sidecar;
use crate::support::upstream::Upstream;

/// What must come of a case.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// One of these statuses, then the end of the connection. Nothing is forwarded.
    Refused(&'static [u16]),
    /// 400 with this problem, and the connection carries the next request: the bytes were read
    /// without doubt, only their meaning is refused. Nothing is forwarded.
    Told(&'static str),
    /// The end of the connection, for want of a language both speak.
    Cut,
    /// Forwarded and answered with 200: what looks hostile but is not.
    Served,
}

/// Bytes and what must come of them.
pub struct Case {
    name: String,
    bytes: Vec<u8>,
    /// Requests in front of the one it is about, which are served.
    ahead: usize,
    expect: Expect,
}

pub fn case(name: &str, bytes: impl AsRef<[u8]>, expect: Expect) -> Case {
    Case { name: name.to_owned(), bytes: bytes.as_ref().to_vec(), ahead: 0, expect }
}

impl Case {
    /// The same behind another request on the same connection.
    pub fn behind(mut self, first: &[u8]) -> Case {
        self.bytes = [first, &self.bytes].concat();
        self.ahead += 1;
        self
    }
}

/// Runs a table, and fails with every case that went otherwise.
pub fn check(cases: Vec<Case>) {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    let mut wrong = Vec::new();
    for case in &cases {
        let before = upstream.calls();
        let forwarded = match run(case, &onceward) {
            Ok(forwarded) => forwarded,
            Err(why) => {
                wrong.push(format!("{}: {why}", case.name));
                continue;
            }
        };
        let heard = upstream.calls() - before;
        if heard != forwarded {
            let last = upstream.requests().pop();
            wrong.push(format!("{}: {heard} calls heard, {last:?}", case.name));
        }
    }
    // Whatever was forwarded without an answer would have been heard by now.
    let before = upstream.calls();
    Call::get("/last").send(onceward.address);
    assert_eq!(upstream.calls(), before + 1, "a call was heard late");
    let (count, wrong) = (wrong.len(), wrong.join("\n"));
    assert!(wrong.is_empty(), "{count} of {}:\n{wrong}", cases.len());
}

/// Runs one case; tells how many requests must have been forwarded.
fn run(case: &Case, onceward: &Sidecar) -> Result<usize, String> {
    let mut wire = Wire::open(onceward.address);
    wire.send_behind(&case.bytes);
    for _ in 0..case.ahead {
        let reply = wire.reply().ok_or("no answer to what stands ahead")?;
        if reply.status != 200 {
            return Err(format!("what stands ahead got {}", told(&reply)));
        }
    }
    if let Expect::Cut = case.expect {
        return wire.end().map(|()| case.ahead);
    }
    let reply = wire.reply().ok_or("closed without an answer")?;
    match case.expect {
        Expect::Refused(statuses) if statuses.contains(&reply.status) => {
            if !reply.body.is_empty() && reply.problem().is_empty() {
                return Err(format!("no problem: {}", told(&reply)));
            }
            wire.end()?;
            Ok(case.ahead)
        }
        Expect::Told(problem) if (reply.status, &*reply.problem()) == (400, problem) => {
            wire.send(&Call::get("/next").bytes());
            match wire.reply() {
                Some(next) if next.status == 200 => Ok(case.ahead + 1),
                next => Err(format!("the next request got {next:?}")),
            }
        }
        Expect::Served if reply.status == 200 && !reply.is_replay() => Ok(case.ahead + 1),
        _ => Err(told(&reply)),
    }
}

fn told(reply: &Reply) -> String {
    format!("{} {:?}", reply.status, reply.text())
}
