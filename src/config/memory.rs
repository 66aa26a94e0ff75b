//! A BODY_MEMORY that one request of a route may take all of.

use super::read::{Problem, Values};
use super::units::size;
use super::vars;

/// Bytes of large request bodies that may be held at once.
pub(super) fn read(text: &str) -> Result<usize, String> {
    match size(text)? {
        0 => Err("must be more than zero".into()),
        bytes => Ok(bytes),
    }
}

/// What is to be said of the largest requests any route takes, of so many bytes, where one of them
/// does not fit: it is let in all the same, when no other large one is in hand.
pub(super) fn remark(largest: usize, at: String, values: &Values<'_>) -> Option<Problem> {
    let text = values.text(vars::var("BODY_MEMORY"));
    let most = read(text).ok()?;
    (largest > most).then(|| {
        let what = format!(
            "{largest} bytes are more than BODY_MEMORY, {text}: so large a request is let in only \
             while no other large one is in hand, and takes more memory than was meant; raise \
             BODY_MEMORY",
        );
        Problem { at, what }
    })
}
