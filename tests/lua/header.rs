//! Reads what a script's header promises and what its body does.
//!
//! A header has up to three sections: `KEYS` with its names on one line; `ARGV` and `Replies`, an
//! entry a line, three spaces in, what explains it two spaces behind or on deeper lines below. A
//! reply is its word and the values that follow it; `...` stands for more of them.

use std::collections::BTreeMap;

/// The scripts, as they are written.
pub const SOURCES: [(&str, &str); 27] = [
    ("abandon", include_str!("../../lua/abandon.lua")),
    ("accept_callback", include_str!("../../lua/accept_callback.lua")),
    ("adopt", include_str!("../../lua/adopt.lua")),
    ("bind_token", include_str!("../../lua/bind_token.lua")),
    ("cancel", include_str!("../../lua/cancel.lua")),
    ("claim", include_str!("../../lua/claim.lua")),
    ("dead_letter", include_str!("../../lua/dead_letter.lua")),
    ("dequeue", include_str!("../../lua/dequeue.lua")),
    ("draft", include_str!("../../lua/draft.lua")),
    ("enqueue", include_str!("../../lua/enqueue.lua")),
    ("drop_callback", include_str!("../../lua/drop_callback.lua")),
    ("hold", include_str!("../../lua/hold.lua")),
    ("issue_token", include_str!("../../lua/issue_token.lua")),
    ("lapse", include_str!("../../lua/lapse.lua")),
    ("look", include_str!("../../lua/look.lua")),
    ("ping", include_str!("../../lua/ping.lua")),
    ("put_back", include_str!("../../lua/put_back.lua")),
    ("recall", include_str!("../../lua/recall.lua")),
    ("release", include_str!("../../lua/release.lua")),
    ("renew", include_str!("../../lua/renew.lua")),
    ("restore", include_str!("../../lua/restore.lua")),
    ("conclude", include_str!("../../lua/conclude.lua")),
    ("resolve", include_str!("../../lua/resolve.lua")),
    ("settle", include_str!("../../lua/settle.lua")),
    ("settle_callback", include_str!("../../lua/settle_callback.lua")),
    ("survey", include_str!("../../lua/survey.lua")),
    ("take", include_str!("../../lua/take.lua")),
];

/// What a header lists.
#[derive(Debug, Default)]
pub struct Header {
    pub keys: Vec<String>,
    pub arguments: Vec<String>,
    /// By word, how many values follow it.
    pub replies: BTreeMap<String, usize>,
}

impl Header {
    pub fn of(script: &str) -> Header {
        let source = SOURCES.iter().find(|(name, _)| *name == script);
        Header::parse(source.unwrap_or_else(|| panic!("no lua/{script}.lua")).1)
    }

    fn parse(source: &str) -> Header {
        let (mut header, mut section) = (Header::default(), "");
        for line in source.lines().skip(1).map_while(|l| l.strip_prefix("--")) {
            if let Some(keys) = line.strip_prefix(" KEYS ") {
                header.keys = words(keys);
            } else if matches!(line, " ARGV" | " Replies") {
                section = line.trim();
            } else if let Some(entry) = line.strip_prefix("   ")
                && !entry.starts_with(' ')
            {
                // Two spaces end what is listed.
                let listed = words(entry.split("  ").next().unwrap_or_default());
                match section {
                    "ARGV" => header.arguments.extend(listed),
                    "Replies" => {
                        let values = listed.iter().skip(1).filter(|value| *value != "...");
                        header.replies.insert(listed[0].clone(), values.count());
                    }
                    _ => panic!("{line:?} is in no section"),
                }
            }
        }
        header
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The numbers in `KEYS[n]` or `ARGV[n]`, each once, in order.
pub fn numbers(source: &str, table: &str) -> Vec<usize> {
    let start = format!("{table}[");
    let uses = source.split(&start).skip(1);
    let mut numbers: Vec<usize> =
        uses.map(|rest| rest.split(']').next().unwrap_or_default().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Every reply a body writes down: its word, and how many values follow it.
pub fn replies(source: &str) -> Vec<(String, usize)> {
    let code: Vec<_> = source.lines().filter(|l| !l.starts_with("--")).collect();
    let code = code.join("\n");
    let written = ["return {", "local reply = {"]
        .iter()
        .flat_map(|start| code.split(start).skip(1).map(table).collect::<Vec<_>>());
    let listed = written.map(|values| {
        let word = values[0].trim().trim_matches('\'').to_owned();
        (word, values.len() - 1)
    });
    // A reply of words alone may be one text, which may end with one that is known later.
    let texts = code.split("return '").skip(1).map(|rest| {
        let (text, rest) = rest.split_once('\'').unwrap_or_default();
        let words = words(text);
        (words[0].clone(), words.len() - 1 + usize::from(rest.starts_with(" .. ")))
    });
    // A record as it lies in Redis begins with its format.
    let raw = code.split("return raw").skip(1).map(|_| ("3".to_owned(), 0));
    listed.chain(texts).chain(raw).collect()
}

/// The values of a table whose opening brace has been read.
fn table(rest: &str) -> Vec<String> {
    let (mut depth, mut values) = (0, vec![String::new()]);
    for character in rest.chars() {
        match character {
            '}' if depth == 0 => break,
            ',' if depth == 0 => {
                values.push(String::new());
                continue;
            }
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            _ => {}
        }
        values.last_mut().unwrap().push(character);
    }
    values
}

/// The words that the Rust function of a script tells apart.
pub fn matched(script: &str, rust: &str) -> Vec<String> {
    let constant = format!("script::{},", script.to_uppercase());
    let (_, function) =
        rust.split_once(&constant).unwrap_or_else(|| panic!("nobody calls {constant}"));
    let (_, arms) = function.split_once("match word.as_str() {").unwrap();
    let arms = arms.split("other =>").next().unwrap_or_default();
    // What stands before each arrow, behind the arm before it: `"word"`, or some of them.
    let heads = arms.split("=>").map(|arm| arm.rsplit([',', '{', '}']).next());
    heads
        .flat_map(|head| head.unwrap_or_default().split('"').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}
