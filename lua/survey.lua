#!lua flags=no-writes
-- survey: what is open in one partition. Writes nothing.
--
-- KEYS due unknown cancelling queue
--
-- ARGV
--   limit  how many due orders at the most
--   first  the unknown orders that are told of, by their place from 0 on, the oldest first: from
--   last   this one to this one
--
-- Replies
--   survey now in_flight unknown cancelling oldest_unknown_since queued oldest_queued_since due ...
--       then so many ids of orders that are due: those whose lease should have run out, those to be
--       asked about or cancelled; and behind them unknown orders, each by its id and since when; the
--       times are ms since 1970, an oldest is 0 where there is none
local due, unknown, cancelling, queue = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local limit = tonumber(ARGV[1])

local now = now_ms()
local oldest = redis.call('ZRANGE', unknown, 0, 0, 'WITHSCORES')
-- An entry is named after the ms it was made in.
local first = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
local since = first and string.match(first[1], '%d+') or '0'
local in_flight = redis.call('ZCARD', due) - redis.call('ZINTERCARD', 2, due, unknown)
  - redis.call('ZINTERCARD', 2, due, cancelling)
local ids = redis.call('ZRANGEBYSCORE', due, '-inf', text(now), 'LIMIT', 0, limit)
local reply = {'survey', text(now), text(in_flight), text(redis.call('ZCARD', unknown)),
  text(redis.call('ZCARD', cancelling)), oldest[2] or '0', text(redis.call('XLEN', queue)), since,
  text(#ids)}
for _, more in ipairs({ids, redis.call('ZRANGE', unknown, ARGV[2], ARGV[3], 'WITHSCORES')}) do
  for _, word in ipairs(more) do
    reply[#reply + 1] = word
  end
end
return reply
