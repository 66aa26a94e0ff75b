//! An order's record as it lies in Redis, looked at and changed behind the scripts' backs.

use super::redis::Redis;

/// What a record says, in whatever part: name and value in turn, nothing for no record. KEYS record.
pub const WORDS: &str = "
local seen, all = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local part = {[all[i]] = all[i + 1]}
  if all[i] ~= 'answered' then part = cmsgpack.unpack(all[i + 1]) end
  for name, value in pairs(part) do
    seen[#seen + 1] = name
    seen[#seen + 1] = tostring(value)
  end
end
return seen";

/// Makes a record say something else of where its order stands. KEYS record, ARGV names and values
/// in turn.
const CHANGE: &str = "
local stands = redis.call('HGET', KEYS[1], 'stands')
stands = stands and cmsgpack.unpack(stands) or {v = '2'}
for i = 1, #ARGV, 2 do stands[ARGV[i]] = ARGV[i + 1] end
redis.call('HSET', KEYS[1], 'stands', cmsgpack.pack(stands))";

impl Redis {
    /// What a record says in one word; empty where it does not.
    pub fn record_word(&self, name: &str, word: &str) -> String {
        let one = format!(
            "local seen = (function() {WORDS}\nend)()
            for i = 1, #seen, 2 do
              if seen[i] == ARGV[1] then return seen[i + 1] end
            end"
        );
        self.command(&["EVAL", &one, "1", name, word])
    }

    /// As if somebody had brought an order there.
    pub fn change_record(&self, name: &str, words: &[&str]) {
        self.command(&[&["EVAL", CHANGE, "1", name], words].concat());
    }
}
