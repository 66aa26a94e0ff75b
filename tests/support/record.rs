//! An order's record as it lies in Redis, looked at and changed behind the scripts' backs.

use super::redis::Redis;

/// Takes a record apart, as `lua/common.lua` says it is written: its words by name, and what stands
/// behind its first line.
const PARTS: &str = "
local NAMES = {'v', 'fingerprint', 'state', 'answer', 'fence', 'attempt', 'attempts', 'from', 'asks',
  'created', 'token', 'updated'}
local function parts(raw)
  local words, place, line, rest = {}, 0, string.match(raw, '^([^\\n]*)\\n(.*)$')
  for word in string.gmatch(line, '%S+') do
    place = place + 1
    local name, value = string.match(word, '^(%l+)=(.*)$')
    if NAMES[place] then name, value = NAMES[place], word end
    if value ~= '-' then words[name] = value end
  end
  return words, rest
end
";

/// What a record says, in whatever part: name and value in turn, nothing for no record. KEYS record.
const SAYS: &str = "
local seen, raw = {}, redis.call('GET', KEYS[1])
if not raw then return seen end
local function say(name, value)
  seen[#seen + 1] = name
  seen[#seen + 1] = value
end
local words, rest = parts(raw)
for name, value in pairs(words) do say(name, value) end
local lines = string.match('\\n' .. rest, '^(.-\\n)asked %d+\\n')
local history = ''
for line in string.gmatch(lines, '[^\\n]+\\n') do history = line .. history end
say('history', history)
local length, packed = string.match(string.sub('\\n' .. rest, #lines + 1), '^asked (%d+)\\n(.*)$')
if #packed > tonumber(length) then say('answered', string.sub(packed, length + 1)) end
if length ~= '0' then
  for name, value in pairs(cmsgpack.unpack(string.sub(packed, 1, length))) do say(name, value) end
end
return seen";

/// Makes a record say something else of where its order stands. KEYS record, ARGV names and values
/// in turn; an empty value takes a word away.
const CHANGE: &str = "
local words, rest = {v = '3'}, 'asked 0\\n'
local raw = redis.call('GET', KEYS[1])
if raw then words, rest = parts(raw) end
for i = 1, #ARGV, 2 do words[ARGV[i]] = ARGV[i + 1] ~= '' and ARGV[i + 1] or nil end
-- A duplicate is to look closely.
if words.answer == 'done' then words.answer = 'kept' end
local line = {}
for place, name in ipairs(NAMES) do
  line[place] = words[name] or '-'
  words[name] = nil
end
for name, value in pairs(words) do line[#line + 1] = name .. '=' .. value end
redis.call('SET', KEYS[1], table.concat(line, ' ') .. '\\n' .. rest, 'KEEPTTL')";

/// The body of a script that returns what the record KEYS[1] says: name and value in turn.
pub fn words() -> String {
    format!("{PARTS}{SAYS}")
}

impl Redis {
    /// What a record says in one word; empty where it does not.
    pub fn record_word(&self, name: &str, word: &str) -> String {
        let words = words();
        let one = format!(
            "local seen = (function() {words}\nend)()
            for i = 1, #seen, 2 do
              if seen[i] == ARGV[1] then return seen[i + 1] end
            end"
        );
        self.command(&["EVAL", &one, "1", name, word])
    }

    /// As if somebody had brought an order there.
    pub fn change_record(&self, name: &str, words: &[&str]) {
        let change = format!("{PARTS}{CHANGE}");
        self.command(&[&["EVAL", &change, "1", name], words].concat());
    }
}
