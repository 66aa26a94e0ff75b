//! Who may see what stands under `/admin/`, and who may act on it.

use super::Admin;
use super::nearby;
use crate::answer::problem::{Name, Problem};
use crate::serve::Arrived;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request};
use std::fmt;
use std::net::IpAddr;
use subtle::{Choice, ConstantTimeEq};

/// The header a person at the console names themselves in. It is a courtesy to whoever reads the
/// log, not a proof: the token is what counts.
const ACTOR: &str = "onceward-actor";

/// The longest name, in characters.
const LONGEST_ACTOR: usize = 40;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Look and act.
    Operator,
    /// Look.
    Reader,
}

impl Role {
    /// The word in documents and log lines.
    pub(super) fn word(self) -> &'static str {
        match self {
            Role::Operator => "operator",
            Role::Reader => "reader",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// By the token that was shown.
    pub(super) role: Role,
    /// From where.
    pub(super) from: IpAddr,
    /// What they call themselves, if anything.
    actor: String,
}

impl Asker {
    /// Who acted, as it stands in an order's history: no spaces.
    pub(super) fn by(&self) -> String {
        match self.actor.as_str() {
            "" => "admin".into(),
            actor => format!("admin/{actor}"),
        }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} from {}", self.role.word(), self.by(), self.from)
    }
}

impl Admin {
    /// Who asks, if they may ask this.
    pub(super) fn authorize(&self, request: &Request<Arrived>) -> Result<Asker, Problem> {
        let from = request.body().connection.ip().to_canonical();
        let tokens = self.tokens.load();
        let role = match &tokens.act {
            Some(acts) => role(request, acts, tokens.look.as_deref())?,
            None => nearby::check(request, from).map(|()| Role::Operator)?,
        };
        let asker = Asker { role, from, actor: actor(request) };
        let looks = matches!(*request.method(), Method::GET | Method::HEAD);
        if asker.role == Role::Reader && !looks {
            tracing::warn!(%asker, "a reader's token may not act");
            let detail = "This token may look, not act. Use the one of ONCEWARD_ADMIN_TOKEN.";
            return Err(Problem::new(Name::Forbidden, detail));
        }
        Ok(asker)
    }
}

fn role<B>(request: &Request<B>, acts: &str, looks: Option<&str>) -> Result<Role, Problem> {
    let shown = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim());
    // In constant time, so that nobody learns a token a letter at a time; both are looked at, so
    // that nobody learns which of the two was nearly right.
    let same = |token: &str| shown.as_bytes().ct_eq(token.as_bytes());
    let acts = same(acts);
    let looks = looks.map_or(Choice::from(0), same);
    match (bool::from(acts), bool::from(looks)) {
        (true, _) => Ok(Role::Operator),
        (false, true) => Ok(Role::Reader),
        (false, false) => {
            Err(Problem::new(Name::Unauthorized, "Send Authorization: Bearer <token>."))
        }
    }
}

/// The name somebody gave themselves, fit for a history and a log: no spaces, nothing that could
/// pass for the end of a line.
fn actor<B>(request: &Request<B>) -> String {
    let told = request.headers().get(ACTOR).map_or(&b""[..], |value| value.as_bytes());
    let fit = |c: char| if c.is_ascii_alphanumeric() || "._@+".contains(c) { c } else { '-' };
    let name: String = String::from_utf8_lossy(told).trim().chars().map(fit).collect();
    name.trim_matches('-').chars().take(LONGEST_ACTOR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(told: &[u8], expect: &str) {
        let request = Request::builder().header(ACTOR, told).body(());
        assert_eq!(request.map(|request| actor(&request)).unwrap_or_default(), expect);
    }

    #[test]
    fn a_name_is_made_fit_for_a_line_of_history() {
        check(b"alice", "alice");
        check(b" Alice Liddell ", "Alice-Liddell");
        check(b"a@example.org", "a@example.org");
        check(b"x\tfrom=succeeded", "x-from-succeeded");
        check("\u{738b}\u{5c0f}\u{660e}".as_bytes(), "");
        check(b"\xff\xfe", "");
        check(&[b'a'; 200], &"a".repeat(LONGEST_ACTOR));
    }
}
