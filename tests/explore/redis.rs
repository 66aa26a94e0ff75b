//! The real Redis behind every gate, its scripts, and a look at what is in it.

use super::wire::{self, Reply};
use crate::support;
use crate::support::record::words;
use onceward::model::order::State;
use onceward::store::names::Names;
use onceward::store::script;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;

/// One line that is changed in one script: a mistake somebody might make.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    pub script: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

/// The names of all there is about the order.
#[derive(Clone, Debug)]
pub struct Keys {
    pub id: String,
    pub record: String,
    pub lease: String,
    pub due: String,
    pub unknown: String,
    pub cancelling: String,
    pub callback: String,
    pub callback_lease: String,
}

/// A redis-server of one's own and a connection to it.
pub struct Redis {
    stream: BufReader<UnixStream>,
    /// Every script by its hash: its name, and the hash it is called by here.
    scripts: HashMap<String, (&'static str, String)>,
    snapshot: String,
    _server: support::redis::Redis,
    _folder: tempfile::TempDir,
}

/// What is in Redis, without the times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub record: BTreeMap<String, String>,
    pub history: String,
    pub lease: String,
    /// Where it is listed: due, unknown, cancelling.
    pub listed: [bool; 3],
    pub callback: BTreeMap<String, String>,
    pub callback_lease: String,
}

const SNAPSHOT: &str =
    "local seen = {redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[7]) or ''}
for i = 3, 5 do
  seen[i] = redis.call('ZSCORE', KEYS[i], ARGV[1]) and 'yes' or 'no'
end
local record = fields()
seen[6] = tostring(#record)
for _, fields in ipairs({record, redis.call('HGETALL', KEYS[6])}) do
  for _, text in ipairs(fields) do seen[#seen + 1] = text end
end
return seen";

impl Redis {
    /// Starts one and loads every script into it, with the patches there are.
    pub fn start(patches: &[Patch]) -> Redis {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("r.sock");
        let path_text = path.to_str().expect("a path of ours");
        let server = support::redis::Redis::start_with(&["--unixsocket", path_text]);
        let stream = BufReader::new(UnixStream::connect(&path).expect("a connection"));
        let scripts = HashMap::new();
        let (_server, _folder) = (server, folder);
        let mut redis = Redis { stream, scripts, snapshot: String::new(), _server, _folder };
        let fields = format!("local function fields() {}\nend", words());
        let snapshot = format!("#!lua flags=no-writes\n{fields}\n{SNAPSHOT}");
        redis.snapshot = redis.load(&snapshot);
        for patch in patches {
            assert!(script::all().iter().any(|s| s.name == patch.script), "{patch:?}");
        }
        for script in script::all() {
            let call = script.by_text(&[]);
            let words: Vec<_> = call.args_iter().collect();
            let redis::Arg::Simple(text) = words[1] else { panic!("a script has a text") };
            let text = std::str::from_utf8(text).expect("a script is text");
            let sha = redis.load(text);
            let mut patched = text.to_owned();
            for patch in patches.iter().filter(|patch| patch.script == script.name) {
                let found = patched.matches(patch.from).count();
                assert_eq!(found, 1, "{}.lua reads otherwise now: {:?}", patch.script, patch.from);
                patched = patched.replace(patch.from, patch.to);
            }
            let called = if patched == text { sha.clone() } else { redis.load(&patched) };
            redis.scripts.insert(sha, (script.name, called));
        }
        redis
    }

    fn load(&mut self, text: &str) -> String {
        let reply = self.say(&["SCRIPT", "LOAD", text]);
        assert_eq!(reply.words[0].len(), 40, "{reply:?}");
        reply.words[0].clone()
    }

    /// Runs one command.
    pub fn say<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        self.stream.get_mut().write_all(&wire::command(words)).expect("sent");
        wire::read_reply(&mut self.stream)
    }

    /// The script a command calls.
    pub fn name_of(&self, command: &[Vec<u8>]) -> &'static str {
        assert_eq!(command[0], b"EVALSHA", "every script is loaded");
        let sha = std::str::from_utf8(&command[1]).expect("a hash");
        self.scripts[sha].0
    }

    /// Runs a script as it was called, or as it is patched.
    pub fn run(&mut self, command: &[Vec<u8>]) -> Reply {
        let mut command = command.to_vec();
        let sha = std::str::from_utf8(&command[1]).expect("a hash");
        command[1] = self.scripts[sha].1.clone().into_bytes();
        let reply = self.say(&command);
        assert!(!reply.words[0].starts_with('-'), "{}: {reply:?}", self.scripts.len());
        reply
    }

    /// Nothing was ever asked about the order.
    pub fn forget(&mut self, keys: &Keys) {
        let all = keys.all();
        self.say(&[&["DEL"], &all[..]].concat());
    }

    /// What stands there now.
    pub fn look(&mut self, keys: &Keys) -> Seen {
        let mut words = vec!["EVALSHA", &self.snapshot, "7"];
        words.extend(keys.all());
        words.push(&keys.id);
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let reply = self.say(&words).words;
        let fields: usize = reply[5].parse().unwrap_or_else(|_| panic!("{reply:?}"));
        let pairs = |words: &[String]| -> BTreeMap<String, String> {
            words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        };
        let mut record = pairs(&reply[6..6 + fields]);
        let history = record.remove("history").unwrap_or_default();
        record.remove("created");
        record.remove("updated");
        Seen {
            record,
            history,
            lease: reply[0].clone(),
            callback_lease: reply[1].clone(),
            listed: [2, 3, 4].map(|at| reply[at] == "yes"),
            callback: pairs(&reply[6 + fields..]),
        }
    }
}

impl Keys {
    pub fn new(
        names: &Names,
        order: &onceward::model::identity::Order,
        event: &onceward::model::event::Event,
    ) -> Keys {
        Keys {
            id: order.id.to_string(),
            record: names.record(order),
            lease: names.lease(order),
            due: names.due(order.partition).to_owned(),
            unknown: names.unknown(order.partition).to_owned(),
            cancelling: names.cancelling(order.partition).to_owned(),
            callback: names.callback(event),
            callback_lease: names.callback_lease(event),
        }
    }

    fn all(&self) -> [&str; 7] {
        [
            &self.record,
            &self.lease,
            &self.due,
            &self.unknown,
            &self.cancelling,
            &self.callback,
            &self.callback_lease,
        ]
    }
}

impl Seen {
    pub fn state(&self) -> State {
        let word = self.record.get("state").map_or("none", String::as_str);
        State::from_word(word).unwrap_or_else(|| panic!("no state: {word}"))
    }

    pub fn fence(&self) -> u64 {
        self.record.get("fence").map_or(0, |fence| fence.parse().expect("a number"))
    }

    pub fn field(&self, name: &str) -> &str {
        self.record.get(name).map_or("", String::as_str)
    }

    /// The stored response's status and body, where there is one.
    pub fn response(&self) -> Option<(&str, &str)> {
        let (head, all) = self.field("answered").strip_prefix("yes ")?.split_once('\n')?;
        let (status, headers) = head.split_once(' ')?;
        Some((status, &all[headers.parse().expect("a length")..]))
    }
}
