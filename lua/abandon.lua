#!lua flags=allow-oom
-- abandon: give the claim back, because nothing was sent; a copy of the claim that arrives later
-- is refused.
--
-- The order stands again as it stood before the claim. A new one's record stays, in state none: its
-- fence must never fall, and the void mark must be found by a claim that was held up on the way.
--
-- One that became unknown only because this attempt's lease had run out stands again likewise, for the
-- attempt knows better; one out of the queue does not, its entry is gone.
--
-- KEYS record lease token due unknown lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id
--   attempt
--   keep_ms  how long the mark is kept from now
--   channel  where it is announced to those who wait
--   by
--   why
--
-- Replies
--   abandoned state  the claim was this attempt's and is given back, its token can be used again;
--                    where the order stands now
--   voided state     there was no such claim; should it still arrive it will be refused; where the
--                    order stands
--   refused state    the order has moved on; nothing was written, but that one being cancelled is due
--                    at once, for this attempt has ended, and nobody is to wait for its response
local record, lease, token, due, unknown = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lifecycle = KEYS[6]
local id, attempt, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local channel, by, why = ARGV[4], ARGV[5], ARGV[6]

local r = read(record)
local state, mine, waited = r.state or 'none', r.attempt == attempt, r.waited
if r.void and holds(r.void, attempt) then
  if mine then return {'abandoned', state} end
  return {'voided', state}
end
local lapsed = state == 'unknown' and r.lapsed and r.from ~= 'queued'
if mine and state ~= 'in_flight' and not lapsed then
  if state == 'cancelling' and redis.call('DEL', lease) == 1 then
    r.settled = attempt
    write(record, r)
    redis.call('ZADD', due, text(now_ms()), id)
  elseif state == 'succeeded' or state == 'failed' then
    if redis.call('DEL', lease) == 1 and waited then redis.call('PUBLISH', channel, id) end
  end
  return {'refused', state}
end
r.void = with(r.void, attempt)
if not mine then
  write(record, r, not r.state and keep_ms)
  return {'voided', state}
end

local now, back, a = now_ms(), r.from or 'none', opened(r.asked)
follow(lifecycle, a.move, id, back, now)
if back ~= state then r.history = noted(r.history, now, state, back, by, why) end
r.state, r.updated, r.waited = back, text(now), nil
if lapsed and r.lapsed ~= '-' then r.released = r.lapsed end
r.lapsed = nil
redis.call('ZREM', due, id)
if lapsed then redis.call('ZREM', unknown, id) end
redis.call('DEL', lease)
if back == 'none' then
  -- One that may run again stays bound to its request, its caller and its tokens.
  if not r.released then
    r.fingerprint, a.caller, r.token, r.created, r.settled = nil, nil, nil, nil, nil
    r.asked = packed(a)
  end
  write(record, r, keep_ms)
  if redis.call('HGET', token, 'spent') == attempt then
    redis.call('HDEL', token, 'spent')
  end
else
  write(record, r)
end
if back == 'queued' then
  -- Its entry still stands; what was accepted is not forgotten.
  redis.call('PERSIST', record)
elseif back == 'unknown' then
  redis.call('ZADD', unknown, 'NX', text(now), id)
  ask_later(due, id, now, a.ask)
end
if waited then redis.call('PUBLISH', channel, id) end
return {'abandoned', back}
