//! The checks, grouped by what they look at. Each returns one finding.

pub(super) mod durability;
pub(super) mod memory;
pub(super) mod permissions;
pub(super) mod sentinels;
pub(super) mod server;
pub(super) mod settings;
pub(super) mod timing;

use super::Finding;

/// A fact the server keeps to itself. Not a failure by its own: where it is `INFO` that is
/// refused, `permissions` fails for it.
fn untold(check: &'static str, field: &str) -> Finding {
    Finding::warn(
        check,
        format!("not known: the server does not tell {field}"),
        "allow INFO and CONFIG GET to this user, or verify it by hand",
    )
}
