//! The admin plane's bearer tokens, which may change while the sidecar runs.

use super::read::{Environment, Problem, Problems, Values};
use super::{some, vars};
use std::path::PathBuf;

/// The tokens in force.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AdminTokens {
    /// ADMIN_TOKEN: who shows it may look and act. Without one, only loopback may ask.
    pub act: Option<String>,
    /// ADMIN_READ_TOKEN: who shows it may look.
    pub look: Option<String>,
}

impl AdminTokens {
    /// Reads them again.
    ///
    /// # Errors
    /// Their problems, a file that is empty or missing among them; whoever asked keeps those it has.
    pub fn reload(environment: &dyn Environment) -> Result<AdminTokens, Problems> {
        let mut problems = Vec::new();
        let values = Values::of_process(environment, &mut problems);
        problems.retain(|problem| problem.at.starts_with("ONCEWARD_ADMIN_"));
        match read(&values, &mut problems) {
            Some(tokens) if problems.is_empty() => Ok(tokens),
            _ => Err(Problems(problems)),
        }
    }
}

pub(super) fn read(values: &Values<'_>, problems: &mut Vec<Problem>) -> Option<AdminTokens> {
    let act = values.read("ADMIN_TOKEN", problems, |text| Ok(some(text)));
    let look = values.read("ADMIN_READ_TOKEN", problems, |text| {
        read_token(text, values.text(vars::var("ADMIN_TOKEN")))
    });
    Some(AdminTokens { act: act?, look: look? })
}

/// The files they came from.
pub(super) fn files(values: &Values<'_>) -> Vec<PathBuf> {
    ["ADMIN_TOKEN", "ADMIN_READ_TOKEN"].iter().filter_map(|name| values.file(name)).collect()
}

/// A reader's token only means something beside an operator's, and unlike it.
fn read_token(text: &str, admin_token: &str) -> Result<Option<String>, String> {
    match some(text) {
        Some(_) if admin_token.is_empty() => {
            Err("needs ONCEWARD_ADMIN_TOKEN: without one, who may ask may also act".into())
        }
        Some(token) if token == admin_token => {
            Err("must differ from ONCEWARD_ADMIN_TOKEN, or its bearers could act".into())
        }
        token => Ok(token),
    }
}
