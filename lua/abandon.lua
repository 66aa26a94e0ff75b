#!lua flags=allow-oom
-- abandon: give the claim back, because nothing was sent; a copy of the claim that arrives later
-- is refused.
--
-- The order stands again as it stood before the claim. A new one's record stays, in state none: its
-- fence must never fall, and the void mark must be found by a claim that was held up on the way.
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
--   voided           there was no such claim; should it still arrive it will be refused
--   refused state    the order has moved on; nothing was written, but that one being cancelled is due
--                    at once, for this attempt has ended, and nobody is to wait for its response
local record, lease, token, due, unknown = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lifecycle = KEYS[6]
local id, attempt, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local channel, by, why = ARGV[4], ARGV[5], ARGV[6]

local r = redis.call('HMGET', record, 'state', 'attempt', 'void', 'from', 'waited', 'history', 'ask',
  'move')
local state, mine = r[1] or 'none', r[2] == attempt
if r[3] and holds(r[3], attempt) then
  if mine then return {'abandoned', state} end
  return {'voided'}
end
if mine and state ~= 'in_flight' then
  if state == 'cancelling' and redis.call('DEL', lease) == 1 then
    redis.call('HSET', record, 'settled', attempt)
    redis.call('ZADD', due, text(now_ms()), id)
  elseif (state == 'succeeded' or state == 'failed') and redis.call('DEL', lease) == 1 and r[5] then
    redis.call('PUBLISH', channel, id)
  end
  return {'refused', state}
end
if not mine then
  redis.call('HSET', record, 'void', with(r[3], attempt))
  if not r[1] then redis.call('PEXPIRE', record, keep_ms) end
  return {'voided'}
end

local now, back = now_ms(), r[4] or 'none'
follow(lifecycle, r[8], id, back, now)
redis.call('HSET', record, 'state', back, 'void', with(r[3], attempt), 'updated', text(now),
  'history', noted(r[6], now, state, back, by, why))
redis.call('HDEL', record, 'waited')
redis.call('ZREM', due, id)
redis.call('DEL', lease)
if back == 'none' then
  redis.call('HDEL', record, 'fingerprint', 'caller', 'token', 'created', 'settled')
  redis.call('PEXPIRE', record, keep_ms)
  if redis.call('HGET', token, 'spent') == attempt then
    redis.call('HDEL', token, 'spent')
  end
elseif back == 'queued' then
  -- Its entry still stands; what was accepted is not forgotten.
  redis.call('PERSIST', record)
elseif back == 'unknown' then
  redis.call('ZADD', unknown, 'NX', text(now), id)
  ask_later(due, id, now, r[7])
end
if r[5] then
  redis.call('PUBLISH', channel, id)
end
return {'abandoned', back}
