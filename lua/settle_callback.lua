#!lua flags=allow-oom
-- settle_callback: upstream acknowledged a notification; keep its answer for the repeats.
--
-- A full Redis must not have a channel repeat itself for ever: this script may write past maxmemory.
--
-- KEYS callback lease
--
-- ARGV
--   attempt
--   fence
--   keep_ms    how long the acknowledgement is kept from now
--   unchanged  digest of what may not differ in a repeat, the writing secret's
--   status
--   headers
--   body
--
-- Replies
--   stored        written, or an earlier copy of this call wrote it
--   fenced fence  another copy is or was forwarded under this fence; nothing was written
--   gone          there is no such record
local callback, lease = KEYS[1], KEYS[2]
local attempt, fence, keep_ms, unchanged = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local status, headers, body = ARGV[5], ARGV[6], ARGV[7]

local r = redis.call('HMGET', callback, 'fence', 'attempt', 'dropped', 'status', 'v')
known(r[5], 'callback')
if not r[1] then
  return {'gone'}
end
if r[1] ~= fence or r[2] ~= attempt or r[3] == attempt then
  return {'fenced', r[1]}
end
if r[4] then
  return {'stored'}
end
redis.call('HSET', callback, 'unchanged', unchanged, 'status', status, 'headers', headers,
  'body', body)
redis.call('PEXPIRE', callback, keep_ms)
-- Nobody's but this attempt's: whoever takes a lease writes its name into the record.
redis.call('DEL', lease)
return {'stored'}
