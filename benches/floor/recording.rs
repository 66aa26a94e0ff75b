//! What Onceward says to Redis for a payment and for a duplicate of it, word for word, and what it
//! answers: recorded from a sidecar that runs, by `MONITOR`.

use super::step::{Step, Words};
use crate::BenchError;
use crate::contender::{Contender, Kind, Place};
use crate::wire::{Reply, Wire, payment};
use memchr::memmem;
use redis::{Client, Connection, RedisError, RedisResult};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The script that is run instead.
const NOTHING: &str = "return 'x'";

/// What is written of a payment that begins: its lock, its record, its place in the index. Keys and
/// words are those of `lua/claim.lua`.
const CLAIM: &str = "
    redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3])
    redis.call('SET', KEYS[1], ARGV[8], 'PX', ARGV[4])
    redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
    return 'x'";

/// What is written of one that has ended: its record, and the rest is taken out. Keys and words are
/// those of `lua/settle.lua`.
const SETTLE: &str = "
    redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[2])
    redis.call('ZREM', KEYS[3], ARGV[1])
    redis.call('DEL', KEYS[2])
    return 'x'";

/// What Redis answers to any of these.
pub(super) const REPLY: &[u8] = b"$1\r\nx\r\n";

/// Longer than Redis takes to tell of a command.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was recorded.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Recording {
    /// A first request's first command.
    pub(super) claim: Step,
    /// Its second.
    pub(super) settle: Step,
    /// The first, for a script that writes.
    pub(super) claim_written: Step,
    /// The second, likewise.
    pub(super) settle_written: Step,
    /// A duplicate's, where Redis is asked for each.
    pub(super) duplicate: Step,
    /// What a duplicate is answered.
    pub(super) replay: Reply,
}

impl Recording {
    /// The one in the bench's temporary folder.
    pub(super) fn read(folder: &Path) -> Result<Recording, BenchError> {
        Ok(serde_json::from_slice(&fs::read(file(folder))?).map_err(io::Error::other)?)
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("floor.json")
}

/// Has Onceward do payments and duplicates of them, and keeps in the bench's temporary folder what it
/// said.
///
/// # Errors
/// When it told Redis anything but two commands for a payment and one for a duplicate.
pub(crate) fn record(place: &Place<'_>) -> Result<(), BenchError> {
    let client = Client::open(place.redis.url())?;
    let ([(first, _), (other, _)], asking) = (
        heard(Kind::Onceward, &[2], place, &client)?,
        heard(Kind::OncewardThroughRedis, &[2, 1, 1], place, &client)?,
    );
    let [(same, replay), (another, _)] = asking;
    let mut redis = client.get_connection()?;
    let [nothing, claim, settle] = [NOTHING, CLAIM, SETTLE].map(|script| -> RedisResult<String> {
        redis::cmd("SCRIPT").arg("LOAD").arg(script).query(&mut redis)
    });
    let (nothing, claim, settle) = (nothing?, claim?, settle?);
    is_written(&mut redis, [(&claim, &first[0]), (&settle, &first[1])])?;
    let [claims, settles] = [0, 1].map(|turn| [&first[turn], &other[turn], &other[turn]]);
    let recording = Recording {
        claim: Step::of(&nothing, claims)?,
        settle: Step::of(&nothing, settles)?,
        claim_written: Step::of(&claim, claims)?,
        settle_written: Step::of(&settle, settles)?,
        duplicate: Step::of(&nothing, [&same[2], &same[3], &another[2]])?,
        replay,
    };
    let text = serde_json::to_vec(&recording).map_err(io::Error::other)?;
    Ok(fs::write(file(place.folder), text)?)
}

/// Sees that the scripts write what they are to with the words they will be given: after the first of
/// them the record, the lock and the index are there, after the second the record alone.
fn is_written(redis: &mut Connection, scripts: [(&String, &Words); 2]) -> Result<(), BenchError> {
    redis::cmd("FLUSHALL").exec(redis)?;
    for ((sha, words), there) in scripts.into_iter().zip([3, 1]) {
        // EVALSHA, the script, the number of keys, the keys: the first three are those.
        redis::cmd("EVALSHA").arg(sha).arg(&words[2..]).exec(redis)?;
        let found: usize = redis::cmd("EXISTS").arg(&words[3..6]).query(redis)?;
        if found != there {
            return Err(BenchError::Wrong(format!("of a payment {found} keys, not {there}")));
        }
    }
    Ok(())
}

/// What Redis was told, command by command, and what the last request was answered.
type Heard = (Vec<Words>, Reply);

/// What is heard of two orders, each of which is sent as often as `turns` are: how many commands each
/// time takes.
fn heard(
    kind: Kind,
    turns: &[usize],
    place: &Place<'_>,
    client: &Client,
) -> Result<[Heard; 2], BenchError> {
    redis::cmd("FLUSHALL").exec(&mut client.get_connection()?)?;
    let contender = Contender::start(kind, place)?;
    let mut wire = Wire::open(contender.address)?;
    // By its first payment Redis learns the scripts.
    wire.send(&payment("/order/pay", "record-97-0000000000"))?;
    let mut one = |key| heard_of(key, turns, &mut wire, client);
    Ok([one("record-98-0000000001")?, one("record-99-0000000002")?])
}

fn heard_of(
    key: &str,
    turns: &[usize],
    wire: &mut Wire,
    client: &Client,
) -> Result<Heard, BenchError> {
    let mut monitor = client.get_connection()?;
    monitor.set_read_timeout(Some(PATIENCE))?;
    redis::cmd("MONITOR").exec(&mut monitor)?;
    let (mut heard, mut last) = (Vec::new(), None);
    for commands in turns {
        let reply = wire.send(&payment("/order/pay", key))?;
        redis::cmd("ECHO").arg("over").exec(&mut client.get_connection()?)?;
        let told = scripts(&mut monitor, key)?;
        if reply.status != 200 || told.len() != *commands {
            return Err(BenchError::Wrong(format!(
                "to be recorded: {commands} commands; recorded: {}, answered {}",
                told.len(),
                reply.status
            )));
        }
        heard.extend(told);
        last = Some(reply);
    }
    let last = last.ok_or_else(|| BenchError::Wrong("nothing was to be recorded".into()))?;
    Ok((heard, last))
}

/// The scripts that were called with that order's number, up to the `ECHO`.
fn scripts(monitor: &mut Connection, key: &str) -> Result<Vec<Words>, BenchError> {
    let mut scripts = Vec::new();
    loop {
        let line: String =
            redis::from_redis_value(monitor.recv_response()?).map_err(RedisError::from)?;
        // The time, the caller in brackets, the words; what a script calls has the caller `lua`.
        let Some((_, said)) = line.split_once("] ").filter(|(by, _)| !by.ends_with(" lua")) else {
            continue;
        };
        let words = words(said);
        let is = |name: &[u8]| words.first().is_some_and(|word| word.eq_ignore_ascii_case(name));
        if is(b"ECHO") {
            return Ok(scripts);
        }
        let has_key = |word: &Vec<u8>| memmem::find(word, key.as_bytes()).is_some();
        if is(b"EVALSHA") && words.iter().any(has_key) {
            scripts.push(words);
        }
    }
}

/// Words as `MONITOR` writes them: each in quotes, bytes that cannot be shown escaped (sdscatrepr).
fn words(said: &str) -> Words {
    let (mut words, mut letters) = (Words::new(), said.bytes());
    while letters.any(|letter| letter == b'"') {
        let mut word = Vec::new();
        while let Some(letter) = letters.next().filter(|letter| *letter != b'"') {
            word.push(if letter == b'\\' { escaped(&mut letters) } else { letter });
        }
        words.push(word);
    }
    words
}

fn escaped(letters: &mut impl Iterator<Item = u8>) -> u8 {
    let mut digit = || {
        let letter = letters.next().unwrap_or_default();
        (char::from(letter).to_digit(16).unwrap_or_default() as u8, letter)
    };
    match digit().1 {
        b'x' => digit().0 << 4 | digit().0,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        other => other,
    }
}
