//! Values as people write them: `500ms`, `1MiB`, `off`.

use std::time::Duration;

/// The longest duration, a hundred years as `100years` is written: several of them together, added to
/// any clock's time, can still be counted, here and in Redis.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 31_557_600);

/// A duration such as `500ms`, `30s`, `15m`, `24h`; `0s` is one.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => {
            Err("must be at most 100years".into())
        }
        Err(_) => Err("expected a duration such as 500ms, 30s or 24h".into()),
    }
}

/// A duration above zero.
pub(super) fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than zero".into()),
        longer => Ok(longer),
    }
}

/// A size in bytes such as `64KiB`, `1MiB`, `4096`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let expected = || "expected a size such as 64KiB, 1MiB or 4096".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..digits].parse().map_err(|_| expected())?;
    let unit = match &text[digits..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    number.checked_mul(unit).ok_or_else(expected)
}

/// A size in bytes as people write it.
pub(super) fn size_text(bytes: usize) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// `true` or `false`.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("expected one of {}", words.join(", "))
    })
}

/// The word that stands for a value.
pub(super) fn word<T: PartialEq>(value: &T, words: &[(&'static str, T)]) -> &'static str {
    words.iter().find(|(_, other)| other == value).map_or("", |(word, _)| word)
}

/// The parts of a comma-separated list, each read by `read`; an empty text is an empty list. Every
/// part that is bad is told of.
pub(super) fn list<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let (mut list, mut bad) = (Vec::new(), Vec::new());
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match read(part) {
            Ok(part) => list.push(part),
            Err(what) => bad.push(what),
        }
    }
    if bad.is_empty() { Ok(list) } else { Err(bad.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("24h", 86_400_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "-1s", "soon", "1e3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive("0s").is_err());
        assert_eq!(duration("100years"), Ok(LONGEST));
        for text in ["100years 1ns", "18446744073709551615s", "99999999999999999999s"] {
            assert_eq!(duration(text), Err("must be at most 100years".into()), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64KiB", 65_536), ("1MiB", 1 << 20)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["0", "4097", "64KiB", "1MiB", "3GiB"] {
            assert_eq!(size(text).map(size_text), Ok(text.to_owned()));
        }
        for text in
            ["", "MiB", "1 MiB", "1MB", "-1", "99999999999999999999", "18446744073709551615GiB"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists() {
        let words = |text| list(text, |part| Ok(part.to_owned()));
        assert_eq!(words(""), Ok(vec![]));
        assert_eq!(words("a, b,,c"), Ok(vec!["a".into(), "b".into(), "c".into()]));
        let bad = list("a, b,,c", |part| if part == "b" { Ok(()) } else { Err(part.to_owned()) });
        assert_eq!(bad, Err("a; c".into()));
    }
}
