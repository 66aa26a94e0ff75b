//! Calls somebody before an order of unknown outcome is forgotten.
//!
//! Each is kept for a time of its own: routes differ in UNKNOWN_TTL, and a record that is written
//! anew may begin it anew. So it is the records that are asked, some at every look, in turn.

use super::LAST_CALL;
use super::survey::Surveyor;
use crate::model::identity::{Order, PARTITIONS, Partition};
use crate::model::key::Key;
use crate::model::order::State;
use crate::store::StoreError;
use crate::store::orders::Lapse;
use crate::store::survey::{Left, Unknown};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Unknown orders that one look at one partition asks about. A replica looks at each partition every
/// 5 s: of n unknown orders it asks about each every n / 256 s, and at most every 5 s. That is once an
/// hour of 900,000, and UNKNOWN_TTL's last tenth is 16 h unless it is set shorter.
const AT_ONCE: u32 = 20;

/// Which of each partition's unknown orders are next.
pub(super) struct Rounds([u32; PARTITIONS as usize]);

impl Default for Rounds {
    fn default() -> Rounds {
        Rounds([0; PARTITIONS as usize])
    }
}

impl Rounds {
    /// The places of the next, the oldest order being in place 0.
    pub(super) fn places(&mut self, partition: Partition) -> RangeInclusive<u32> {
        let first = *self.next(partition);
        first..=first + (AT_ONCE - 1)
    }

    /// They were looked at, of so many. One that is passed over because others left before it is
    /// met in the next round.
    pub(super) fn looked_at(&mut self, partition: Partition, of: u64) {
        let next = self.next(partition);
        *next += AT_ONCE;
        if u64::from(*next) >= of {
            *next = 0;
        }
    }

    fn next(&mut self, partition: Partition) -> &mut u32 {
        &mut self.0[usize::from(partition.number())]
    }
}

impl Surveyor {
    /// Calls somebody about the one of these that is forgotten next, if its time has come, and about
    /// those that are forgotten already. They leave the index of what is unknown.
    pub(super) async fn last_call(
        &self,
        partition: Partition,
        unknown: &[Unknown],
    ) -> Result<(), StoreError> {
        let left = self.store.left(partition, unknown.iter().map(|unknown| &*unknown.id)).await?;
        let mut ending: Vec<_> =
            left.into_iter().zip(unknown).filter(|(left, it)| is_ending(*left, it.age)).collect();
        ending.sort_by_key(|(left, _)| *left);
        let keep = self.routes.load().unknown_ttl();
        let (mut called, mut unread) = (false, false);
        for (left, Unknown { id, .. }) in ending {
            // It may have moved on; one whose record is gone is struck from the indexes.
            let lapse = self.store.lapse(partition, id, None, keep).await;
            let lapse = match self.store.of_one(partition, lapse).await? {
                Ok(lapse) => lapse,
                // Nobody can tell its name, and it does not stand in for one that has one.
                Err(error) => {
                    if !std::mem::replace(&mut unread, true) {
                        self.guard.alarm("unknown-expiring", None);
                        tracing::error!(
                            order = id, %error,
                            "an order of unknown outcome that cannot be read is about to be forgotten"
                        );
                    }
                    continue;
                }
            };
            match (lapse, left) {
                (Lapse::Moved(State::None), Left::Gone) => {
                    self.guard.alarm("unknown-expiring", None);
                    tracing::error!(
                        order = id,
                        "an order of unknown outcome was forgotten: look for it at the payment service"
                    );
                }
                (Lapse::Moved(State::Unknown), Left::For(left)) if !called => {
                    called = true;
                    let order = self.named(partition, id).await;
                    let order = self.store.of_one(partition, order).await?.unwrap_or_default();
                    self.guard.alarm("unknown-expiring", order.as_ref());
                    tracing::error!(
                        order = id,
                        seconds_left = left.as_secs(),
                        "an order of unknown outcome is about to be forgotten: resolve it"
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The order of that id, as a person knows it.
    async fn named(&self, partition: Partition, id: &str) -> Result<Option<Order>, StoreError> {
        let record = self.store.look_at(partition, id).await?;
        Ok(record.and_then(|record| {
            let key = Key::stored(&record.key).ok()?;
            Some(self.routes.load().order(&record.route, &record.scope, key))
        }))
    }
}

/// Whether the last part of an order's time has come, which has been unknown for so long.
fn is_ending(left: Left, age: Duration) -> bool {
    match left {
        Left::Gone => true,
        Left::For(left) => left < (age + left).mul_f64(1.0 - LAST_CALL),
        Left::Always => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unknown_order_has_its_turn() {
        let mut rounds = Rounds::default();
        let mut partitions = Partition::all();
        let (one, other) = (partitions.next().expect("one"), partitions.next().expect("another"));
        let mut looks = |of: u64| {
            let places = rounds.places(one);
            rounds.looked_at(one, of);
            places
        };
        let places = [looks(45), looks(45), looks(45), looks(45)];
        assert_eq!(places, [0..=19, 20..=39, 40..=59, 0..=19]);
        // Those before it are gone: it begins anew.
        assert_eq!([looks(20), looks(20), looks(0)], [20..=39, 0..=19, 0..=19]);
        assert_eq!(rounds.places(other), 0..=19);
    }

    #[test]
    fn the_last_tenth_of_an_orders_own_time_counts() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let cases = [
            (152, Left::For(hours(16)), true),
            (150, Left::For(hours(18)), false),
            (19, Left::For(hours(2)), true),
            (300, Left::For(hours(168)), false),
            (0, Left::Gone, true),
            (9999, Left::Always, false),
        ];
        for (age, left, expected) in cases {
            assert_eq!(is_ending(left, hours(age)), expected, "{age} {left:?}");
        }
    }
}
