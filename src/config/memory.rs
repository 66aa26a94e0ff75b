//! A BODY_MEMORY that one request of a route may take all of.

use super::read::{Problem, Values};
use super::routes::place;
use super::units::size;
use super::vars;
use crate::route::Routes;

/// Bytes of large request bodies that may be held at once.
pub(super) fn read(text: &str) -> Result<usize, String> {
    match size(text)? {
        0 => Err("must be more than zero".into()),
        bytes => Ok(bytes),
    }
}

/// What is to be said of the route with the largest requests, where one of them does not fit: it is
/// let in all the same, when no other large one is in hand.
pub(super) fn remark(routes: &Routes, values: &Values<'_>, named: bool) -> Option<Problem> {
    let text = values.text(vars::var("BODY_MEMORY"));
    let most = read(text).ok()?;
    let largest = |route: usize| routes.0[route].tuning.max_request_body;
    let index = (0..routes.0.len()).max_by_key(|index| largest(*index))?;
    let at = match named {
        true => format!("{}.max_request_body", place(index, &routes.0[index].name)),
        false => "ONCEWARD_MAX_REQUEST_BODY".to_owned(),
    };
    (largest(index) > most).then(|| {
        let what = format!(
            "{} bytes are more than BODY_MEMORY, {text}: so large a request is let in only while no \
             other large one is in hand, and takes more memory than was meant; raise BODY_MEMORY",
            largest(index),
        );
        Problem { at, what }
    })
}
