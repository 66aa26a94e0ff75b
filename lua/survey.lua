#!lua flags=no-writes
-- survey: what is open in one partition. Writes nothing.
--
-- KEYS due unknown cancelling queue
--
-- ARGV
--   limit  how many due orders at the most
--
-- Replies
--   survey now in_flight unknown cancelling oldest_unknown_since queued oldest_queued_since ...
--       then the ids of orders that somebody should look at: those whose lease should have run
--       out, those to be asked about or cancelled, and the one that has been unknown longest,
--       whose record may have expired; the times are ms since 1970, an oldest is 0 where there is
--       none
local due, unknown, cancelling, queue = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local limit = tonumber(ARGV[1])

local now = now_ms()
local oldest = redis.call('ZRANGE', unknown, 0, 0, 'WITHSCORES')
-- An entry is named after the ms it was made in.
local first = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
local since = first and string.match(first[1], '%d+') or '0'
local in_flight = redis.call('ZCARD', due) - redis.call('ZINTERCARD', 2, due, unknown)
  - redis.call('ZINTERCARD', 2, due, cancelling)
local reply = {'survey', text(now), text(in_flight), text(redis.call('ZCARD', unknown)),
  text(redis.call('ZCARD', cancelling)), oldest[2] or '0', text(redis.call('XLEN', queue)), since}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', text(now), 'LIMIT', 0, limit)) do
  reply[#reply + 1] = id
end
reply[#reply + 1] = oldest[1]
return reply
