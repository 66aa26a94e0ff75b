//! What the doctor says: findings, and the table they are printed as.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Payments work, but a guarantee is weaker than it could be, or could not be verified.
    Warn,
    /// Money must not rest on this server as it is.
    Fail,
}

impl Verdict {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// The check's name, one lower-case word.
    pub check: &'static str,
    /// What was seen, in one line.
    pub found: String,
    /// What it means and what to do about it; none when all is well.
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, check, found: found.into(), advice: None }
    }

    pub(super) fn warn(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Warn, check, found: found.into(), advice: Some(advice.into()) }
    }

    pub(super) fn fail(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Fail, check, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Every finding, in the order of the checks.
///
/// Displays as an aligned table, each line ended by a newline, the advice under its finding.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One per check that was made.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether at least one check failed.
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.verdict == Verdict::Fail)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { verdict, check, found, advice } in &self.findings {
            writeln!(out, "{:<4}  {check:<12} {}", verdict.word(), one_line(found))?;
            if let Some(advice) = advice {
                writeln!(out, "{:19}{}", "", one_line(advice))?;
            }
        }
        Ok(())
    }
}

/// A server's words end up on an operator's terminal: no line breaks, no escape sequences.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
