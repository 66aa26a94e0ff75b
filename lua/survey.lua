#!lua flags=no-writes
-- survey: what is open in one partition. Writes nothing.
--
-- KEYS due unknown
--
-- ARGV
--   limit  how many due orders at the most
--
-- Replies
--   survey now in_flight unknown oldest_unknown_since ...
--       then the ids of orders that lapse should look at: those whose lease should have run out,
--       and the one that has been unknown longest, whose record may have expired; the times are
--       ms since 1970, the oldest is 0 where nothing is unknown
local due, unknown = KEYS[1], KEYS[2]
local limit = tonumber(ARGV[1])

local now = now_ms()
local oldest = redis.call('ZRANGE', unknown, 0, 0, 'WITHSCORES')
local reply = {'survey', text(now), text(redis.call('ZCARD', due)), text(redis.call('ZCARD', unknown)),
  oldest[2] or '0'}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', text(now), 'LIMIT', 0, limit)) do
  reply[#reply + 1] = id
end
reply[#reply + 1] = oldest[1]
return reply
