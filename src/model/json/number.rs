//! Numbers compared by what they are worth, not by how they are written: one service writes an
//! amount `1.5`, the next `1.50`, and a code that was `0` yesterday is `0.0` after its upgrade.

/// Whether a text is a JSON number worth as much as `number`, which is one: `1`, `1.0` and `10e-1`
/// are. Exact at any length. An exponent that 64 bits do not hold is like its own spelling alone.
pub(super) fn is_worth(number: &str, text: &str) -> bool {
    number == text
        || matches!((worth(number), worth(text)), (Some(one), Some(other)) if one == other)
}

/// Its sign, its digits without zeros around them, and the power of ten they count; `None` when it
/// is no number.
fn worth(text: &str) -> Option<(bool, String, i64)> {
    let (unsigned, is_negative) = match text.strip_prefix('-') {
        Some(unsigned) => (unsigned, true),
        None => (text, false),
    };
    let (decimal, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((decimal, exponent)) => (decimal, exponent.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match decimal.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (decimal, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len() - significant.len();
    let exponent = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(i64::try_from(zeros).ok()?)?;
    match significant.trim_start_matches('0') {
        "" => Some((false, String::new(), 0)),
        significant => Some((is_negative, significant.to_owned(), exponent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(number: &str, text: &str, expect: bool) {
        assert_eq!(is_worth(number, text), expect, "{number} {text}");
        if worth(text).is_some() {
            assert_eq!(is_worth(text, number), expect, "{text} {number}");
        }
    }

    #[test]
    fn numbers_of_one_worth_are_alike_however_they_are_written() {
        for text in ["1.5", "1.50", "15e-1", "0.15E+1", "0.0015e3", "150e-2"] {
            check("1.5", text, true);
            check("-1.5", text, false);
            check("15", text, false);
        }
        for zero in ["0", "-0", "0.0", "0e7", "-0.000E-9"] {
            check("0", zero, true);
            check("1", zero, false);
        }
        check("100", "1e2", true);
        check("101", "11", false);
        check("1001", "101", false);
    }

    #[test]
    fn no_digit_is_lost_at_any_length() {
        check("9007199254740993", "9007199254740992", false);
        check("9007199254740993.0", "9007199254740993", true);
        let long = "7".repeat(1000);
        check(&long, &format!("{long}.00"), true);
        check(&long, &format!("{long}.01"), false);
    }

    #[test]
    fn what_is_no_number_is_worth_none() {
        for text in
            ["", "-", "PAID", "01", "1.", ".1", "+1", "1e", "1e+", " 1", "0x1", "1_0", "inf"]
        {
            check("1", text, false);
            check("0", text, false);
        }
        // Worth nobody can hold, but it is like itself.
        check("1e99999999999999999999", "1e99999999999999999999", true);
        check("1e99999999999999999999", "10e99999999999999999998", false);
        check("1e-9223372036854775808", "0.1e-9223372036854775808", false);
    }
}
