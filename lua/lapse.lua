#!lua flags=allow-oom
-- lapse: an order in flight whose lease is gone becomes unknown. It may have reached the payment
-- service, so it is never run again on that account (no-silent-rerun).
--
-- KEYS record lease due unknown cancelling
--
-- ARGV
--   id
--   fence    the fence that was seen without a lease, or empty for any
--   keep_ms  how long the record is kept from now at the least
--   channel  where it is announced to those who wait
--   by
--
-- Replies
--   lapsed fence   the order is unknown now
--   held lease_ms  the lease stands; its next due time is when it would run out
--   moved state    the order is not in flight, or under another fence; one whose record has expired
--                  is struck from the indexes
local record, lease, due, unknown, cancelling = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, fence, keep_ms, channel, by = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

local r = read(record)
if r.state ~= 'in_flight' or (fence ~= '' and r.fence ~= fence) then
  if r.state ~= 'in_flight' and r.state ~= 'unknown' and r.state ~= 'cancelling' then
    redis.call('ZREM', due, id)
    redis.call('ZREM', unknown, id)
    redis.call('ZREM', cancelling, id)
  end
  return {'moved', r.state or 'none'}
end
local now = now_ms()
local held = redis.call('PTTL', lease)
if held >= 0 then
  redis.call('ZADD', due, text(now + held), id)
  return {'held', text(held)}
end
-- Should its attempt say after all that it sent nothing, the order stands again as it did.
r.lapsed = r.released or '-'
r.state, r.updated, r.released = 'unknown', text(now), nil
r.history = noted(r.history, now, 'in_flight', 'unknown', by, 'lease lost')
write(record, r)
redis.call('PEXPIRE', record, keep_ms, 'GT')
redis.call('ZREM', due, id)
redis.call('ZADD', unknown, 'NX', text(now), id)
ask_later(due, id, now, opened(r.asked).ask)
if r.waited then
  redis.call('PUBLISH', channel, id)
end
return {'lapsed', r.fence}
