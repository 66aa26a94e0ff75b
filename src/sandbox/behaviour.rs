//! Auth codes: what a payment is told to do. The table stands in the [sandbox](super) docs.

use std::time::Duration;

/// How long a shopper types a password when the code gives no time.
const PAYING: Duration = Duration::from_secs(2);
/// The longest delay a code can ask for.
const LONGEST: Duration = Duration::from_secs(600);

/// What `/order/pay` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Charges, then answers or does not.
    Charges(Then, Callbacks),
    /// Says "still paying"; the shopper decides later.
    StillPaying(Ending),
    /// Says no, for good.
    Declines(DeclinedWith),
    /// Fails before it starts, leaving no trace: always, or only the first so many times.
    Fails(FailsWith, Option<u64>),
}

/// What follows the charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Answers,
    AnswersAfter(Duration),
    Breaks,
    Dies,
    KeepsSilent,
}

/// Which callbacks follow the charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callbacks {
    UntilAcknowledged,
    EveryRepeat,
    None,
}

/// How "still paying" ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Success(Duration),
    Failure(Duration),
    Never,
}

/// The answer to a declined payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeclinedWith {
    Ok200,
    PaymentRequired402,
}

/// The failure before a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailsWith {
    TooMany429,
    Unavailable503,
    Error500,
    Reset,
}

impl Behaviour {
    /// Reads an auth code. One it does not know pays at once, as a shopper's real code would.
    pub(super) fn of(code: &str) -> Self {
        use Callbacks::{EveryRepeat, UntilAcknowledged};
        let charges = |then| Self::Charges(then, UntilAcknowledged);
        let (name, number) = match code.rsplit_once('-') {
            Some((name, digits)) => match digits.parse::<u64>() {
                // `declined-402`, `error-500`, `busy-429`: here the digits belong to the name.
                Ok(number) if !matches!(name, "declined" | "error" | "busy" | "early") => {
                    (name, Some(number))
                }
                _ => (code, None),
            },
            None => (code, None),
        };
        let paying = number.map_or(PAYING, capped);
        match (name, number) {
            ("paying-ok", _) => Self::StillPaying(Ending::Success(paying)),
            ("paying-no", _) => Self::StillPaying(Ending::Failure(paying)),
            ("paying-forever", None) => Self::StillPaying(Ending::Never),
            ("declined", None) => Self::Declines(DeclinedWith::Ok200),
            ("declined-402", None) => Self::Declines(DeclinedWith::PaymentRequired402),
            ("slow", Some(millis)) => charges(Then::AnswersAfter(capped(millis))),
            ("dies", None) => charges(Then::Dies),
            ("silent", None) => Self::Charges(Then::KeepsSilent, Callbacks::None),
            ("error-500", None) => charges(Then::Breaks),
            ("busy-429", times) => Self::Fails(FailsWith::TooMany429, times),
            ("busy-503", times) => Self::Fails(FailsWith::Unavailable503, times),
            ("early-500", times) => Self::Fails(FailsWith::Error500, times),
            ("early-reset", times) => Self::Fails(FailsWith::Reset, times),
            ("notify-repeat", None) => Self::Charges(Then::Answers, EveryRepeat),
            ("notify-none", None) => Self::Charges(Then::Answers, Callbacks::None),
            _ => charges(Then::Answers),
        }
    }
}

fn capped(millis: u64) -> Duration {
    Duration::from_millis(millis).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_select_what_their_table_says() {
        let check = |code, expected| assert_eq!(Behaviour::of(code), expected, "{code}");
        let millis = Duration::from_millis;
        let charges = |then| Behaviour::Charges(then, Callbacks::UntilAcknowledged);
        check("", charges(Then::Answers));
        check("134567890123456789", charges(Then::Answers));
        check("slow", charges(Then::Answers));
        check("slow-x", charges(Then::Answers));
        check("dies-3", charges(Then::Answers));
        check("slow-3000", charges(Then::AnswersAfter(millis(3000))));
        check("slow-99999999999", charges(Then::AnswersAfter(LONGEST)));
        check("dies", charges(Then::Dies));
        check("silent", Behaviour::Charges(Then::KeepsSilent, Callbacks::None));
        check("error-500", charges(Then::Breaks));
        check("paying-ok", Behaviour::StillPaying(Ending::Success(PAYING)));
        check("paying-ok-50", Behaviour::StillPaying(Ending::Success(millis(50))));
        check("paying-no-50", Behaviour::StillPaying(Ending::Failure(millis(50))));
        check("paying-forever", Behaviour::StillPaying(Ending::Never));
        check("declined", Behaviour::Declines(DeclinedWith::Ok200));
        check("declined-402", Behaviour::Declines(DeclinedWith::PaymentRequired402));
        check("busy-429", Behaviour::Fails(FailsWith::TooMany429, None));
        check("busy-429-2", Behaviour::Fails(FailsWith::TooMany429, Some(2)));
        check("busy-503", Behaviour::Fails(FailsWith::Unavailable503, None));
        check("early-500-1", Behaviour::Fails(FailsWith::Error500, Some(1)));
        check("early-reset", Behaviour::Fails(FailsWith::Reset, None));
        check("notify-repeat", Behaviour::Charges(Then::Answers, Callbacks::EveryRepeat));
        check("notify-none", Behaviour::Charges(Then::Answers, Callbacks::None));
    }
}
