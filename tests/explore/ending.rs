//! The end of a run: time passes, everybody looks after the order, and the story is told.

use super::actor::Part;
use super::check;
use super::play::Event;
use super::run::Run;
use onceward::model::order::State;

/// Turns after which an order must have come to its end.
const ROUNDS: usize = 6;

impl Run<'_> {
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
            if self.seen.state() == State::None {
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
