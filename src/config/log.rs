//! LOG: a filter by which something is logged.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What everything this program logs is called by; none of its dependencies logs (see `telemetry`).
const OURS: &str = env!("CARGO_PKG_NAME");

/// Reads the filter. A word that stands alone is a level or the name of a room of ours, or stands beside
/// such a word: taken for anybody else's, `warning` would log nothing at all, alarms included.
pub(super) fn filter(text: &str) -> Result<String, String> {
    // The library takes a space for a part of a name.
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let text = parts.join(",");
    text.parse::<EnvFilter>().map_err(|error| error.to_string())?;
    let is_word = |part: &str| !part.contains(['=', '[', '{', '}']);
    let is_known = |word: &str| word.parse::<LevelFilter>().is_ok() || is_ours(word);
    let (known, other): (Vec<_>, Vec<_>) =
        parts.into_iter().filter(|part| is_word(part)).partition(|word| is_known(word));
    match other.first().filter(|_| known.is_empty()) {
        None => Ok(text),
        Some(word) => Err(format!(
            "{word:?} is no level: there are off, error, warn, info, debug and trace; a part of \
             the program has its own as target=level, such as {OURS}::guard=debug"
        )),
    }
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_log_nothing_by_mistake_is_refused() {
        for text in [
            "",
            "info",
            "WARN",
            "off",
            "0",
            "error,onceward::cli=info",
            "info, hyper=warn",
            "info,hyper",
            "onceward",
            "onceward::guard",
            "warn,",
            "info,[attempt]=trace",
            "onceward[attempt{fence=1}]",
            "x=off",
        ] {
            assert_eq!(filter(text), Ok(text.replace(' ', "")));
        }
        for (text, word) in [
            ("warning", "warning"),
            ("infos,hyper=error", "infos"),
            ("hyper", "hyper"),
            ("oncewards", "oncewards"),
            ("guard", "guard"),
        ] {
            let told = filter(text);
            let says = format!("{word:?} is no level: there are off, error, warn,");
            assert!(told.as_ref().is_err_and(|told| told.starts_with(&says)), "{text}: {told:?}");
        }
        assert!(filter("onceward=loud").is_err());
    }
}
