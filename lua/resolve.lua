#!lua flags=allow-oom
-- resolve: make an order final on somebody's word other than its attempt's: a query's, a cancel
-- call's, an operator's.
--
-- A full Redis must not lose an outcome: this script may write past maxmemory.
--
-- KEYS record lease due unknown cancelling request lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id
--   turn     names this call; a copy of it gets the same answer
--   fence    the fence the word is about, or empty for any
--   to       the state the order ends in
--   from     states it may leave, comma-separated (the transition table is Rust's)
--   keep_ms  how long the record is kept from now
--   answer   the record's part of what was answered. keep: what is stored stays; told: it stays
--            only if the attempt itself ended so, else there is none; absent: it stays, and the
--            word is that there is no such order
--   channel  where it is announced to those who wait
--   by
--   why
--
-- Replies
--   resolved       written, or an earlier copy of this call wrote it
--   astray stands  likewise, but its lifecycle stands there and was not moved: another order moved
--                  it, or is moving it
--   held lease_ms  its attempt still runs; nothing was written
--   fenced fence   another attempt has begun, under this fence; nothing was written
--   kept           it is being cancelled: it stays so; that it was paid is kept for when the cancel
--                  call has decided
--   paid           it was told to be paid before: that there is no such order is not believed;
--                  nothing was written
--   refused state  the order's state does not allow it; nothing was written
--   gone           there is no such record
local record, lease, due, unknown, cancelling = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local request, lifecycle = KEYS[6], KEYS[7]
local id, turn, fence, to, from = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local keep_ms, answer = ARGV[6], ARGV[7]
local channel, by, why = ARGV[8], ARGV[9], ARGV[10]

local r = read(record)
if not r.state then
  return {'gone'}
end
if r.settled == turn and r.state == to then
  if r.astray then return {'astray', r.astray} end
  return {'resolved'}
end
if fence ~= '' and (r.fence or '0') ~= fence then
  return {'fenced', r.fence or '0'}
end
if not holds(from, met(r)) then
  if r.state == 'cancelling' and to == 'succeeded' then
    keep_paid(record, r, by, why)
    return {'kept'}
  end
  return {'refused', r.state}
end
local held = redis.call('PTTL', lease)
if held >= 0 then
  return {'held', text(held)}
end
if answer == 'absent' then
  if r.paid or r.told == 'succeeded' then
    return {'paid'}
  end
  answer = 'keep'
end

local now = now_ms()
if answer == 'told' then
  answer = r.told == to and 'keep' or 'no'
end
local waited, astray = r.waited, follow(lifecycle, opened(r.asked).move, id, to, now)
r.history = noted(r.history, now, r.state, to, by, telling(why, astray))
r.state, r.settled, r.updated, r.astray = to, turn, text(now), astray or r.astray
r.waited, r.released = nil, nil
if answer ~= 'keep' then r.answered = answer end
write(record, r, keep_ms)
redis.call('ZREM', due, id)
redis.call('ZREM', unknown, id)
redis.call('ZREM', cancelling, id)
-- What was asked is not sent again.
redis.call('DEL', request)
if waited then redis.call('PUBLISH', channel, id) end
if astray then return {'astray', astray} end
return {'resolved'}
