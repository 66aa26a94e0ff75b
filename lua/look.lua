#!lua flags=no-writes
-- look: one order as it stands. Writes nothing.
--
-- KEYS record lease
--
-- Replies
--   order expires lease_ms ...
--       then the record's fields, name and value in turn; when the record expires is ms since 1970,
--       or -1 where it has no end
--   absent
local record, lease = KEYS[1], KEYS[2]

local all = redis.call('HGETALL', record)
if #all == 0 then
  return {'absent'}
end
local reply = {'order', text(redis.call('PEXPIRETIME', record)), text(redis.call('PTTL', lease))}
for i = 1, #all do
  reply[#reply + 1] = all[i]
end
return reply
