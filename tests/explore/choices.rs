//! Everything that may happen next in a run.

use super::actor::Part;
use super::gate::Wish;
use super::play::{Choice, Event};
use super::run::Run;

impl Run<'_> {
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
    pub fn may_begin(&self, at: usize) -> bool {
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
}

fn is_payment(wish: &Wish) -> bool {
    matches!(wish, Wish::Request(request) if request.path == "/pay")
}
