#!lua flags=allow-oom
-- dead_letter: an order that failed to go out too often leaves the queue for the dead letters, and
-- becomes unknown: somebody has to look.
--
-- It is not queued again on upstream's word that there is no such order (release): nothing would stop
-- it from coming back for ever. Unless a person has it queued, it ends as other unknown orders do.
--
-- Dead letters go when their records would have: after keep_ms.
--
-- KEYS record request queue dead due unknown
--
-- ARGV
--   id
--   entry
--   from     states it may leave, comma-separated
--   keep_ms  how long the record, its request and the letter are kept from now
--   channel  where it is announced to those who wait
--   by
--   why
--
-- Replies
--   dead         the order is unknown now
--   moved state  the order has moved on; nothing was written
local record, request, queue, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local due, unknown = KEYS[5], KEYS[6]
local id, entry, from, keep_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local channel, by, why = ARGV[5], ARGV[6], ARGV[7]

local r = read(record)
if not r.state or not holds(from, r.state) then
  return {'moved', r.state or 'none'}
end
local now = now_ms()
r.history = noted(r.history, now, r.state, 'unknown', by, why)
r.state, r.updated, r.dead, r.lapsed, r.waited = 'unknown', text(now), '1', nil, nil
write(record, r, keep_ms)
redis.call('PEXPIRE', request, keep_ms)
redis.call('ZADD', unknown, 'NX', text(now), id)
ask_later(due, id, now, opened(r.asked).ask)
redis.call('XADD', dead, 'MINID', '~', text(math.max(0, now - keep_ms)), '*', 'id', id, 'why', why)
redis.call('PEXPIRE', dead, keep_ms)
off_queue(queue, entry, id)
redis.call('PUBLISH', channel, id)
return {'dead'}
