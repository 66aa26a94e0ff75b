//! Whatever is read from outside, in a great many broken forms: nothing panics, nothing takes long,
//! and what is understood is what others understand (each target says what it is held to).
//!
//! Texts begin at `corpus/<target>/` and are changed at random; one that leads to an answer not seen
//! before joins them. `make test` tries the same ones every time; `make fuzz TIME=5m` tries new
//! ones for as long, and writes one that fails, made small, to `target/fuzz/<target>/`; `make fuzz
//! INPUT=<that file>` tries it again.

mod bodies;
mod keys;
mod mutate;
mod records;
mod routes;

use mutate::{Dice, mutate};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus");
const FOUND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/fuzz");

/// One text may take so long, on a busy machine too: what does not scale takes far longer.
const SLOW: Duration = Duration::from_secs(5);

/// Texts kept beside the corpus.
const POOL: usize = 2000;

/// What is fuzzed.
pub struct Target<'a> {
    pub name: &'static str,
    /// What its texts are made of.
    pub words: &'a [&'a [u8]],
    /// Texts tried by `make test`.
    pub runs: usize,
}

/// What a text led to, so that texts which lead elsewhere can be told.
pub fn led_to(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// A text of several parts: lines, and the rest.
pub fn parts<const N: usize>(text: &[u8]) -> Option<[&[u8]; N]> {
    let mut parts = [&text[..0]; N];
    let mut pieces = text.splitn(N, |byte| *byte == b'\n');
    for part in &mut parts {
        *part = pieces.next()?;
    }
    Some(parts)
}

impl Target<'_> {
    /// Tries texts; `check` panics over one that is not treated as it should be.
    pub fn fuzz(&self, mut check: impl FnMut(&[u8]) -> u64) {
        if let Some(input) = std::env::var_os("ONCEWARD_TEST_FUZZ_INPUT") {
            let input = PathBuf::from(input);
            if input.parent().and_then(Path::file_name).is_some_and(|name| name == self.name) {
                check(&std::fs::read(input).expect("the input"));
            }
            return;
        }
        let time = std::env::var("ONCEWARD_TEST_FUZZ_TIME").ok();
        let time = time.map(|time| humantime::parse_duration(&time).expect("a time such as 5m"));
        let seed = match time {
            Some(_) => std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64,
            None => 0x0bad_5eed,
        };
        let (mut dice, mut pool) = (Dice::new(seed), self.corpus());
        let mut seen = HashSet::new();
        for text in &pool {
            seen.insert(self.try_one(text, &mut check));
        }
        let (started, mut runs) = (Instant::now(), pool.len());
        while time.map_or(runs < self.runs, |time| started.elapsed() < time) {
            let text = &pool[dice.below(pool.len())];
            let other = &pool[dice.below(pool.len())];
            let text = mutate(&mut dice, text, other, self.words);
            if seen.insert(self.try_one(&text, &mut check)) && pool.len() < POOL {
                pool.push(text);
            }
            runs += 1;
        }
        println!("{}: {runs} texts, {} kinds of answer, seed {seed}", self.name, seen.len());
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        let folder = Path::new(CORPUS).join(self.name);
        let entries = std::fs::read_dir(&folder).expect("a corpus");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        files.iter().map(|file| std::fs::read(file).expect("a text")).collect()
    }

    fn try_one(&self, text: &[u8], check: &mut impl FnMut(&[u8]) -> u64) -> u64 {
        let mut fails = |text: &[u8]| {
            let started = Instant::now();
            let led = catch_unwind(AssertUnwindSafe(|| check(text)));
            led.ok().filter(|_| started.elapsed() < SLOW)
        };
        if let Some(led) = fails(text) {
            return led;
        }
        let small = smaller(text, |text| fails(text).is_none());
        let folder = Path::new(FOUND).join(self.name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(format!("{:016x}", led_to(&small)));
        std::fs::write(&file, &small).expect("written");
        panic!(
            "{} is not treated as it should be; written to {}",
            String::from_utf8_lossy(&small),
            file.display()
        );
    }
}

/// Leaves out whatever can be left out with the text still failing.
fn smaller(text: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut text = text.to_vec();
    let mut size = text.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < text.len() {
            let end = (at + size).min(text.len());
            let less = [&text[..at], &text[end..]].concat();
            if fails(&less) {
                text = less;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    text
}

#[test]
fn what_fails_is_made_small() {
    let fails = |text: &[u8]| text.windows(3).any(|three| three == b"bad");
    assert_eq!(smaller(b"a long text with a bad word", fails), b"bad");
}
