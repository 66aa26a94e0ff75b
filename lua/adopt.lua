#!lua flags=allow-oom
-- adopt: take one overdue order for one turn, to ask upstream about it or to cancel it there.
--
-- A turn lasts until the order's next due time, which is written here: two replicas never ask at
-- once, and one that dies in its turn only delays the order. Whose call takes longer holds the turn
-- (hold.lua). What it finds out is written under the order's fence, so an outcome that its attempt
-- tells late is taken as before.
--
-- Who cannot make the call leaves the order as it is, due, to those who can.
--
-- KEYS record due unknown cancelling
--
-- ARGV
--   id
--   turn         names this turn; the same turn asking again gets the same answer
--   fence        the order's fence as it was seen
--   asks         how often it had been asked, as it was seen
--   query_ms     how long until it is due again, when it is asked about; 0 when it cannot be here
--   cancel_ms    likewise, when it is cancelled
--   hold_ms      for how long nobody else takes it at the least, while it is asked about or cancelled
--   cancel_from  ms since 1970: when its payment is old enough to be cancelled; until then it waits
--   deadline_ms  how long it may be unknown before it is cancelled; 0 when it cannot be
--   from         states that cancelling may be entered from, comma-separated
--   by
--
-- Replies
--   adopted state quiet_ms turn_ms left_ms
--       the turn is this one's; the state it is in now, for how long nothing was heard of its
--       attempt, when it is to be called about again, and for how much longer it may be unknown,
--       empty where nothing ends that
--   unable state quiet_ms left_ms
--       likewise, but nobody here can make the call; nothing was written
--   early left_ms  it is not due yet, or in somebody's turn
--   moved state    it is not as it was seen, or held: nobody is to ask; nothing was written
local record, due, unknown, cancelling = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, turn, fence, asks = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local query_ms, cancel_ms, hold_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local cancel_from, deadline_ms = tonumber(ARGV[8]), tonumber(ARGV[9])
local from, by = ARGV[10], ARGV[11]

local r = read(record)
local state, now = r.state or 'none', now_ms()
local quiet = now - tonumber(r.updated or now)
if state ~= 'unknown' and state ~= 'cancelling' then
  return {'moved', state}
end
local since, left = tonumber(redis.call('ZSCORE', unknown, id) or now), ''
if state == 'unknown' and deadline_ms > 0 then left = text(since + deadline_ms - now) end
local at = tonumber(redis.call('ZSCORE', due, id) or -1)
if r.turn == turn then
  return {'adopted', state, text(quiet), text(math.max(at - now, 0)), left}
end
if at < 0 or (r.fence or '0') ~= fence or (r.asks or '0') ~= asks then
  return {'moved', state}
end
if at > now then
  return {'early', text(at - now)}
end
local overdue = left ~= '' and tonumber(left) <= 0 and holds(from, state)
local cancels = overdue or state == 'cancelling'
if (cancels and cancel_ms or query_ms) == 0 then
  return {'unable', state, text(quiet), left}
end

local wait = query_ms
if state == 'unknown' then
  redis.call('ZADD', unknown, 'NX', text(since), id)
  if overdue then
    state, asks, left = 'cancelling', '0', ''
    redis.call('ZREM', unknown, id)
    redis.call('ZADD', cancelling, 'NX', text(now), id)
    r.state = state
    r.history = noted(r.history, now, 'unknown', state, by, 'not resolved in time')
  elseif left ~= '' then
    wait = math.min(wait, tonumber(left))
  end
end
if cancels and cancel_from > now then
  wait, hold_ms = cancel_from - now, 0
elseif cancels then
  wait = cancel_ms
end
r.turn, r.asks = turn, text(tonumber(asks) + 1)
write(record, r)
redis.call('ZADD', due, text(now + math.max(wait, hold_ms)), id)
return {'adopted', state, text(quiet), text(wait), left}
