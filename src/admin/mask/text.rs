//! Secrets in running text: card numbers, `name=value` pairs, credentials.

use super::MASK;
use super::words::is_secret;

/// Digits a card number may have (ISO/IEC 7812: up to 19; none in use is shorter than 12).
const CARD: std::ops::RangeInclusive<usize> = 12..=19;

/// Digits of a card number that are shown: its last ones.
const SHOWN: usize = 4;

/// Words that are followed by a credential.
const SCHEMES: [&str; 3] = ["bearer", "basic", "digest"];

/// A text without its secrets.
pub(super) fn masked(text: &str) -> String {
    cards(&pairs(text))
}

/// Values of names that speak of secrets, and what follows an authentication scheme.
fn pairs(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    // Whether the next word is a secret.
    let mut secret = false;
    while let Some(start) = rest.find(is_part) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_scheme = SCHEMES.contains(&word.to_ascii_lowercase().as_str());
        shown.push_str(if (secret && !is_scheme) || is_web_token(word) { MASK } else { word });
        rest = after;
        secret = is_scheme || (is_secret(word) && leads_to_value(after));
    }
    shown.push_str(rest);
    shown
}

/// What words are made of: of values too, as they stand in URLs, base64 and JSON.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || "_-.+/%~".contains(c)
}

/// Whether an equals sign or a colon comes next, quotes and spaces aside.
fn leads_to_value(after: &str) -> bool {
    after.trim_start_matches(['"', '\'', ' ']).starts_with(['=', ':'])
}

/// RFC 7519: base64url of `{"...`, and two dots.
fn is_web_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.matches('.').count() == 2
}

/// Card numbers, written in one or in groups: all digits but the last ones become asterisks.
fn cards(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let run = run_of_digits(rest);
        let (number, after) = rest.split_at(run);
        let digits: Vec<u32> = number.chars().filter_map(|c| c.to_digit(10)).collect();
        if CARD.contains(&digits.len()) && passes(&digits) {
            shown.push_str(&"*".repeat(digits.len() - SHOWN));
            shown.extend(
                digits[digits.len() - SHOWN..].iter().filter_map(|d| char::from_digit(*d, 10)),
            );
        } else {
            shown.push_str(number);
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// How long a run of digits is, with single spaces and hyphens between them.
fn run_of_digits(text: &str) -> usize {
    let mut end = 0;
    let mut gap = false;
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' => {
                end = at + 1;
                gap = false;
            }
            ' ' | '-' if !gap => gap = true,
            _ => break,
        }
    }
    end
}

/// The check digit of ISO/IEC 7812 (Luhn).
fn passes(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => *digit,
            _ if digit * 2 > 9 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        assert_eq!(masked(text), expect, "{text}");
    }

    #[test]
    fn card_numbers_keep_their_last_four_digits() {
        check("4111111111111111", "************1111");
        check("card 5500-0000-0000-0004.", "card ************0004.");
        check("3782 822463 10005", "***********0005");
        check("order 20240001 of 2024-01-01", "order 20240001 of 2024-01-01");
        check("4111111111111112", "4111111111111112");
        check("", "");
    }

    #[test]
    fn credentials_in_running_text_are_masked() {
        check("token=abc&x=1", "token=********&x=1");
        check("password: hunter2, user: me", "password: ********, user: me");
        check(r#"{"pin": "1234""#, r#"{"pin": "********""#);
        check("Authorization: Bearer abc.def", "Authorization: Bearer ********");
        check("see eyJhbGciOiJIUzI1NiJ9.e30.x-y", "see ********");
        check("the token was good", "the token was good");
        check("\u{652f}\u{4ed8}\u{6210}\u{529f}", "\u{652f}\u{4ed8}\u{6210}\u{529f}");
    }
}
