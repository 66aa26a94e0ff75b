//! What may happen to one order, drawn at random, and what each script may answer.

use super::machine::Model;
use crate::lua::bench::answer;
use onceward::model::order::State;
use onceward::model::response::Kept;
use onceward::store::cancel::Cancel;
use onceward::store::conclude::Conclude;
use onceward::store::orders::{Abandon, Claim, Lapse, Renewal, Settle};
use onceward::store::resolve::{Adopt, Release, Resolve};

pub const ATTEMPTS: [&str; 3] = ["A", "B", "C"];
pub const TURNS: [&str; 2] = ["T", "U"];

/// Names of what lets an order run again.
pub const PERMISSIONS: [&str; 2] = ["P", "Q"];

/// What was asked, and by whom; a list is a rotation of secrets, the writing one first.
const FINGERPRINTS: [&str; 5] = ["payload", "payload", "payload", "fresh,payload", "other"];
const CALLERS: [&str; 4] = ["caller", "caller", "fresh,caller", "stranger"];

/// One thing that happens, with all that a late copy of it needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Claim {
        who: &'static str,
        retry: bool,
        fingerprints: &'static str,
        callers: &'static str,
        askable: bool,
    },
    Renew {
        who: &'static str,
        fence: u64,
    },
    Settle {
        who: &'static str,
        fence: u64,
        to: State,
        kept: Kept,
    },
    Abandon {
        who: &'static str,
    },
    Lapse {
        fence: Option<u64>,
    },
    Cancel {
        caller: Option<&'static str>,
        confirm: bool,
    },
    Adopt {
        turn: &'static str,
        fence: u64,
        asks: u64,
        deadline: bool,
    },
    Resolve {
        turn: &'static str,
        fence: Option<u64>,
        to: State,
        word: Speaker,
    },
    Release {
        turn: &'static str,
        fence: Option<u64>,
    },
    Conclude {
        to: State,
    },
    /// Nothing is heard of the order that moves the lifecycle for longer than its record lives.
    OutlastMove,
    /// The lease runs out.
    LoseLease,
    /// The order's next due time comes.
    MakeDue,
    /// The order has been unknown for longer than its deadline.
    MakeOld,
}

/// What a word says of the response.
#[derive(Clone, Debug, PartialEq)]
pub enum Speaker {
    Response(Kept),
    Keep,
    IfTold,
    Absent,
}

/// An answer, its times left out.
#[derive(Debug, PartialEq)]
pub enum Reply {
    None,
    Claim(Claim),
    Renewal(Renewal),
    Settle(Settle),
    Abandon(Abandon),
    Lapse(Lapse),
    Cancel(Cancel),
    Adopt(Adopt),
    Resolve(Resolve),
    Release(Release),
    Conclude(Conclude),
}

/// xorshift64*, so that a seed means the same events everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        (self.next() >> 33) % most
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        let most = u64::try_from(of.len()).unwrap();
        of[usize::try_from(self.below(most)).unwrap()]
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// The fence as it stands or, now and then, another or none.
    fn fence(&mut self, model: &Model) -> Option<u64> {
        match self.below(6) {
            0 => None,
            1 => Some(model.fence.saturating_sub(1)),
            _ => Some(model.fence),
        }
    }

    fn kept(&mut self) -> Kept {
        match self.below(6) {
            0 => Kept::Nothing,
            1 => Kept::TooLarge(self.one(&[hyper::StatusCode::OK, hyper::StatusCode::BAD_GATEWAY])),
            _ => answer(self.one(&[200, 402, 500]), self.one(&[&b"paid"[..], b"oops", b"wait"])),
        }
    }
}

/// What moves an order on from where it stands, as `draw` numbers it.
fn fitting(model: &Model) -> &'static [u64] {
    match model.state() {
        State::None | State::Queued => &[0],
        State::InFlight if model.leased => &[6, 7, 7, 7, 11, 13, 13, 17],
        State::InFlight => &[0, 6, 7, 15, 15, 15, 17],
        State::Unknown => &[0, 0, 7, 17, 19, 19, 20, 20, 21, 21, 21, 23, 25, 25, 27],
        State::Cancelling => &[6, 7, 7, 11, 13, 19, 21, 21, 23, 27],
        State::Succeeded | State::Failed | State::Cancelled => &[0, 7, 17, 23, 28],
    }
}

/// Draws what happens next: often what fits where the order stands, often not, often a late copy.
pub fn draw(dice: &mut Dice, model: &Model, before: &[Call]) -> Call {
    // The attempt that has the order, more often than one that has not.
    let who = match model.owner {
        Some(owner) if dice.below(3) > 0 => owner,
        _ => dice.one(&ATTEMPTS),
    };
    // A fence an attempt could have been given.
    let fence = if dice.once_in(5) { 1 + dice.below(3) } else { model.fence.max(1) };
    let fitting = fitting(model);
    let what = if dice.once_in(2) { dice.one(fitting) } else { dice.below(31) };
    match what {
        0..=5 => Call::Claim {
            who: dice.one(&ATTEMPTS),
            retry: dice.once_in(2),
            fingerprints: dice.one(&FINGERPRINTS),
            callers: dice.one(&CALLERS),
            askable: !dice.once_in(5),
        },
        6 => Call::Renew { who, fence },
        7..=10 => {
            let to = dice.one(&[State::Succeeded, State::Failed, State::Unknown, State::Unknown]);
            Call::Settle { who, fence, to, kept: dice.kept() }
        }
        11 | 12 => Call::Abandon { who },
        13 | 14 => Call::LoseLease,
        15 | 16 => Call::Lapse { fence: dice.fence(model) },
        17 | 18 => Call::Cancel {
            caller: dice.one(&[None, Some("caller"), Some("fresh,caller"), Some("stranger")]),
            confirm: !dice.once_in(3),
        },
        19 => Call::MakeDue,
        20 => Call::MakeOld,
        21 | 22 => Call::Adopt {
            turn: dice.one(&TURNS),
            fence: dice.fence(model).unwrap_or(model.fence),
            asks: if dice.once_in(6) { dice.below(3) } else { model.asks },
            deadline: !dice.once_in(3),
        },
        23 | 24 => {
            let word = match dice.below(4) {
                0 => Speaker::Keep,
                1 => Speaker::IfTold,
                2 => Speaker::Absent,
                _ => Speaker::Response(dice.kept()),
            };
            let to = dice.one(&[State::Succeeded, State::Failed, State::Cancelled]);
            Call::Resolve { turn: dice.one(&TURNS), fence: dice.fence(model), to, word }
        }
        25 | 26 => Call::Release { turn: dice.one(&PERMISSIONS), fence: dice.fence(model) },
        27 => Call::Conclude { to: dice.one(&[State::Succeeded, State::Failed, State::Cancelled]) },
        _ => match before.is_empty() {
            true => Call::LoseLease,
            false => {
                let at = dice.below(u64::try_from(before.len()).unwrap());
                before[usize::try_from(at).unwrap()].clone()
            }
        },
    }
}
