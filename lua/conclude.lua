#!lua flags=allow-oom
-- conclude: end an order on the word of somebody else than its attempt, without a response.
--
-- A response stored with it says what is no longer so ("still paying", a 500) and goes: duplicates
-- get the order document. An attempt still under way keeps its lease: duplicates wait for it, and
-- settle adds its response, under its fence, if it ends in the same state while the lease lasts.
--
-- KEYS record lease due unknown cancelling request lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id
--   to       the final state
--   from     states it may leave, comma-separated (the transition table is Rust's)
--   keep_ms  how long the record is kept from now
--   channel  where it is announced to those who wait
--   by
--   why
--
-- Replies
--   concluded state  the order is final now; the state it left, unknown where it might run again
--   astray stands    likewise, or it was before; but its lifecycle stands there and was not moved:
--                    another order moved it, or is moving it
--   already          it stood in that state before, perhaps by an earlier copy of this call
--   kept             the order is being cancelled: it stays so; that it was paid is kept for when the
--                    cancel call has decided
--   refused state    its state does not allow it; nothing was written
--   absent           nobody has seen this order, or its claim was given back
local record, lease, due, unknown, cancelling = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local request, lifecycle = KEYS[6], KEYS[7]
local id, to, from, keep_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local channel, by, why = ARGV[5], ARGV[6], ARGV[7]

local r = read(record)
local state = met(r)
if state == 'none' then
  return {'absent'}
end
if state == to then
  if r.astray then return {'astray', r.astray} end
  return {'already'}
end
if not holds(from, state) then
  if state == 'cancelling' and to == 'succeeded' then
    keep_paid(record, r, by, why)
    return {'kept'}
  end
  return {'refused', state}
end

local now = now_ms()
local astray = follow(lifecycle, opened(r.asked).move, id, to, now)
r.history = noted(r.history, now, r.state, to, by, telling(why, astray))
r.state, r.updated, r.settled, r.astray = to, text(now), nil, astray or r.astray
r.answered, r.released = nil, nil
-- Those who wait go on waiting for an attempt that goes on.
local told = r.waited and redis.call('EXISTS', lease) == 0
if told then r.waited = nil end
write(record, r, keep_ms)
redis.call('ZREM', due, id)
redis.call('ZREM', unknown, id)
redis.call('ZREM', cancelling, id)
-- What was asked is not sent again.
redis.call('DEL', request)
if told then redis.call('PUBLISH', channel, id) end
if astray then return {'astray', astray} end
return {'concluded', state}
