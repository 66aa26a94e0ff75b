//! Where a run stands: all that what may still happen depends on, and nothing of how it got there.

use super::redis::Seen;
use super::run::Run;
use super::wire::Reply;
use sha2::{Digest, Sha256};
use std::fmt::Write;

impl Run<'_> {
    /// All that what may still happen depends on.
    pub fn digest(&mut self) -> [u8; 32] {
        let gone = self.actors.iter().filter(|actor| actor.dead || actor.over).count();
        if gone != self.gone {
            self.gone = gone;
            self.alarms = self.counts.alarms();
        }
        let mut text = String::with_capacity(2048);
        let Seen { record, lease, listed, callback, callback_lease, .. } = &self.seen;
        let _ = write!(text, "{record:?}{lease}{listed:?}{callback:?}{callback_lease}");
        let _ = write!(text, "{:?}{:?}{:?}", self.bank, self.left, self.permitted);
        let _ = write!(text, "{:?}{}", self.granted_from, self.acknowledgement_stored);
        for (sender, command) in &self.held_up {
            let words = command.iter().map(|word| without_times(&String::from_utf8_lossy(word)));
            let _ = write!(text, "{sender}{:?}", words.collect::<Vec<_>>());
        }
        let _ = write!(text, "{:?}", self.findings);
        let _ = write!(text, "{}", self.alarms);
        for actor in &self.actors {
            let _ = write!(text, "{}{}{:?}", actor.dead, actor.over, actor.told());
            // Whoever does nothing any more is no longer moved by what it heard.
            if !actor.dead && !actor.over {
                let _ = write!(text, "{:?}{:?}", actor.heard, actor.granted);
            }
        }
        for actor in &self.actors {
            text = text.replace(&actor.sign, &actor.name);
        }
        Sha256::digest(text).into()
    }
}

/// A text without the times in it, ms since 1970 as a word each.
fn without_times(text: &str) -> String {
    let is_time = |word: &&str| {
        let word = word.trim_end();
        word.len() == 13 && word.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split_inclusive([' ', '\n']).filter(|word| !is_time(word)).collect()
}

/// An answer without its times.
pub fn brief(script: &str, reply: &Reply) -> String {
    let words: Vec<&str> = reply.words.iter().map(String::as_str).collect();
    let kept = match (script, words[0]) {
        ("claim", "found" | "granted") => &words[..words.len() - 1],
        ("claim", "done") => return without_times(words[1]),
        // A record as it lies in Redis.
        ("claim", "3") => return without_times(&words.join(" ")),
        ("look", "order") => {
            let mut fields = Vec::new();
            for pair in words[3..].chunks_exact(2) {
                if ["state", "fence", "asks", "answered"].contains(&pair[0]) {
                    fields.push(format!("{}={}", pair[0], pair[1]));
                }
            }
            fields.sort();
            return fields.join(" ");
        }
        (_, "held" | "busy" | "early") => &words[..1],
        ("adopt", "adopted") => &words[..2],
        _ => &words[..],
    };
    kept.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ")
}
