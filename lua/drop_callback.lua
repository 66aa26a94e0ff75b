#!lua flags=allow-oom
-- drop_callback: a notification was not acknowledged; the channel's next try is forwarded.
--
-- The record stays with its fence, and a copy of the accept that arrives later is refused.
--
-- KEYS callback lease
--
-- ARGV
--   attempt
--   fence
--
-- Replies
--   dropped       the next try goes through; asking again changes nothing
--   kept          this attempt's acknowledgement is stored; nothing was written
--   fenced fence  another copy is or was forwarded under this fence; nothing was written
--   gone          there is no such record
local callback, lease = KEYS[1], KEYS[2]
local attempt, fence = ARGV[1], ARGV[2]

local r = redis.call('HMGET', callback, 'fence', 'attempt', 'dropped', 'status', 'v')
known(r[5], 'callback')
if not r[1] then
  return {'gone'}
end
if r[1] ~= fence or r[2] ~= attempt then
  return {'fenced', r[1]}
end
if r[4] then
  return {'kept'}
end
if r[3] ~= attempt then
  redis.call('HSET', callback, 'dropped', attempt)
  redis.call('DEL', lease)
end
return {'dropped'}
