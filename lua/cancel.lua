#!lua
-- cancel: see that an order is not paid, or is paid back: at once where nothing was sent, else
-- through the route's cancel call.
--
-- Works for an order nobody has seen: its tombstone refuses the payment that arrives late.
--
-- KEYS record lease due unknown cancelling lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id
--   callers          who asks, a digest per secret, comma-separated; empty for an operator
--   confirm          yes: the route has a cancel call; no: what may have been sent cannot be undone
--   cancelled_from   states cancelled may be entered from, comma-separated
--   cancelling_from  likewise for cancelling
--   keep_ms          how long a tombstone is kept
--   route
--   key
--   scope
--   channel          where it is announced to those who wait
--   by
--   why
--
-- Replies
--   cancelled        it is a tombstone, now or since an earlier call
--   cancelling       its cancel call is due, since now or an earlier call
--   final state      it ended otherwise; nothing was written
--   refused state    it cannot be cancelled in that state on this route; nothing was written
--   absent           it is another caller's; nothing was written
local record, lease, due, unknown, cancelling = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lifecycle = KEYS[6]
local id, callers, confirm = ARGV[1], ARGV[2], ARGV[3]
local cancelled_from, cancelling_from, keep_ms = ARGV[4], ARGV[5], tonumber(ARGV[6])
local route, key, scope = ARGV[7], ARGV[8], ARGV[9]
local channel, by, why = ARGV[10], ARGV[11], ARGV[12]

local r = read(record)
local a, state, waited = opened(r.asked), r.state or 'none', r.waited
if callers ~= '' and a.caller and not holds(callers, a.caller) then
  return {'absent'}
end
if state == 'cancelled' then
  return {'cancelled'}
end
if state == 'cancelling' then
  return {'cancelling'}
end
if state == 'succeeded' or state == 'failed' then
  return {'final', state}
end
-- The record was lost, its lease was not: somebody is at it.
if state == 'none' and redis.call('EXISTS', lease) == 1 then
  return {'refused', 'in_flight'}
end
local at_once = state == 'none' or state == 'queued'
if at_once and not holds(cancelled_from, state) then
  return {'refused', state}
end
if not at_once and (confirm ~= 'yes' or not holds(cancelling_from, state)) then
  return {'refused', state}
end

local now = now_ms()
local to = at_once and 'cancelled' or 'cancelling'
if a.move then
  follow(lifecycle, a.move, id, to, now)
elseif lifecycle and select(2, standing(lifecycle, '', now)) == id then
  -- Its record was forgotten in the middle of its move.
  redis.call('HDEL', lifecycle, 'mover', 'until')
end
r.history = noted(r.history, now, state, to, by, why)
r.state, r.updated, r.asks = to, text(now), '0'
a.route, a.key, a.scope, r.created = route, key, scope, r.created or r.updated
if not a.caller and callers ~= '' then
  a.caller = first(callers)
end
if at_once then r.waited = nil end
r.asked = packed(a)
write(record, r, at_once and keep_ms)
redis.call('ZREM', unknown, id)
if at_once then
  redis.call('ZREM', due, id)
else
  redis.call('ZADD', cancelling, 'NX', text(now), id)
  redis.call('ZADD', due, text(now), id)
end
if waited and at_once then
  redis.call('PUBLISH', channel, id)
end
if at_once then
  return {'cancelled'}
end
return {'cancelling'}
