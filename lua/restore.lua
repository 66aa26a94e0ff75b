#!lua flags=allow-oom
-- restore: write anew what an attempt that lives knows of its order, whose record Redis has lost: that
-- it runs, or how it ended.
--
-- Without a record the next duplicate would run. One that names another attempt under no higher fence
-- shows the same loss, for a fence only rises: it gives way as long as nothing may have been sent for
-- that attempt.
--
-- A full Redis must not lose an outcome: this script may write past maxmemory.
--
-- KEYS record lease due unknown lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id
--   attempt
--   fence
--   to            in_flight while the attempt runs; else the state it ended in
--   lease_ms      how long the lease of one that runs holds from now
--   keep_ms       how long the record is kept from now
--   fingerprints  what was asked, a digest per secret, comma-separated, the writing one first
--   token         the hash of the token it was started with, or empty
--   asked         the record's part of what was asked, as claim takes it
--   ended         the record's part of what was answered, `no` without one; empty while it runs
--   channel       where it is announced to those who wait
--   by
--   why           how it ended; empty while it runs
--
-- Replies
--   restored       written, by this call or an earlier copy
--   astray stands  likewise, but its lifecycle stands there and was not moved: another order moved
--                  it, or is moving it
--   stands state   nothing was written: the order has a record that says more, or this attempt gave
--                  its claim back, or another attempt holds a lease
local record, lease, due, unknown, lifecycle = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, attempt, fence, to = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lease_ms, keep_ms, fingerprints, token = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local asks, answer, channel, by, why = ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]

local r = read(record)
local state, mine = r.state or 'none', r.attempt == attempt
if mine and r.fence == fence and state == to and (to == 'in_flight' or r.settled == attempt) then
  if r.astray then return {'astray', r.astray} end
  return {'restored'}
end
local lost = not r.state or (not mine and tonumber(r.fence or 0) <= tonumber(fence))
local unsent = state == 'none' or state == 'queued'
if not lost or not unsent or (r.void and holds(r.void, attempt)) then
  return {'stands', state}
end
local owner = attempt .. ':' .. fence
local holder = redis.call('GET', lease)
if holder and holder ~= owner then
  return {'stands', 'in_flight'}
end

local now, a = now_ms(), opened(asks)
-- One that is lost as well was this order's to move.
if lifecycle and redis.call('EXISTS', lifecycle) == 0 then begin(lifecycle, a.move, id, now) end
local astray = follow(lifecycle, a.move, id, to, now)
r.history = noted(r.history, now, state, 'in_flight', by, 'claimed before Redis lost its record')
r.state, r.fence, r.attempt, r.attempts = to, fence, attempt, text(tonumber(r.attempts or 0) + 1)
r.from, r.updated, r.asks = state, text(now), '0'
r.created = r.created or r.updated
r.fingerprint, r.asked = first(fingerprints), asks
if token ~= '' and not holds(r.token or '', token) then r.token = with(r.token, token) end
if to == 'in_flight' then
  redis.call('SET', lease, owner, 'PX', lease_ms)
  write(record, r, keep_ms)
  redis.call('ZADD', due, text(now + lease_ms), id)
  return {'restored'}
end
r.history = noted(r.history, now, 'in_flight', to, by, telling(why, astray))
r.settled, r.answered, r.astray, r.waited, r.released = attempt, answer, astray, nil, nil
write(record, r, keep_ms)
redis.call('ZREM', due, id)
if to == 'unknown' then
  redis.call('ZADD', unknown, 'NX', text(now), id)
  ask_later(due, id, now, a.ask)
else
  redis.call('ZREM', unknown, id)
end
redis.call('DEL', lease)
redis.call('PUBLISH', channel, id)
if astray then return {'astray', astray} end
return {'restored'}
