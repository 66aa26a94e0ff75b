//! What is counted of callbacks.

use super::Heard;
use crate::guard::Refusal;
use crate::store::conclude::Conclude;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What may come of a notification.
const HEARD: [&str; 6] =
    ["first", "repeat", "busy", "contradiction", "unacknowledged", "undecided"];

/// What may come of the order it names.
const SETTLED: [&str; 5] = ["settled", "already", "kept", "absent", "refused"];

/// Callbacks, and what they settled.
#[derive(Clone, Default)]
pub struct CallbackMetrics {
    heard: Family<Label, Counter>,
    settled: Family<Label, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    result: &'static str,
}

impl CallbackMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> CallbackMetrics {
        let metrics = CallbackMetrics::default();
        registry.register(
            "callbacks",
            "Callbacks by result: first (acknowledged), repeat (from the record), busy (another \
             copy is under way), contradiction, unacknowledged, undecided (no word from Redis)",
            metrics.heard.clone(),
        );
        registry.register(
            "callback_settles",
            "Orders that acknowledged callbacks named: settled, already (final the same way), \
             kept (paid, and being cancelled: its cancel call decides), absent (never seen), refused \
             (its state does not allow it)",
            metrics.settled.clone(),
        );
        // A counter that first shows up as 1 has no increase to be alerted by.
        for result in HEARD {
            let _ = metrics.heard.get_or_create(&Label { result });
        }
        for result in SETTLED {
            let _ = metrics.settled.get_or_create(&Label { result });
        }
        metrics
    }

    pub(super) fn heard(&self, heard: &Heard) {
        let result = match heard {
            Heard::First(_) => "first",
            Heard::Repeat(_) | Heard::Refused(Refusal::ResponseNotStored) => "repeat",
            Heard::Unacknowledged(_) => "unacknowledged",
            Heard::Refused(Refusal::CallbackBusy) => "busy",
            Heard::Refused(Refusal::CallbackContradiction) => "contradiction",
            Heard::Refused(Refusal::StoreUnavailable) => "undecided",
            Heard::Refused(_) => "unacknowledged",
        };
        self.heard.get_or_create(&Label { result }).inc();
    }

    pub(super) fn settled(&self, resolved: &Conclude) {
        let result = match resolved {
            Conclude::Concluded(_) | Conclude::Astray(_) => "settled",
            Conclude::Already => "already",
            Conclude::Kept => "kept",
            Conclude::Absent => "absent",
            Conclude::Refused(_) => "refused",
        };
        self.settled.get_or_create(&Label { result }).inc();
    }
}
