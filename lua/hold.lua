#!lua flags=allow-oom
-- hold: keep the turn of an order for longer, whose call takes its time, or end it: the order is due
-- again after so long.
--
-- An order that somebody made due meanwhile, or moved, or that is another turn's by now, stays as it
-- is.
--
-- KEYS record due
--
-- ARGV
--   id
--   turn     names the turn
--   wait_ms  how long until it is due again
--
-- Replies
--   held   so it is
--   moved  the turn is over already; nothing was written
local record, due = KEYS[1], KEYS[2]
local id, turn, wait_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local r, now = read(record), now_ms()
local at = tonumber(redis.call('ZSCORE', due, id) or -1)
if r.turn ~= turn or at <= now or (r.state ~= 'unknown' and r.state ~= 'cancelling') then
  return {'moved'}
end
redis.call('ZADD', due, text(now + wait_ms), id)
return {'held'}
