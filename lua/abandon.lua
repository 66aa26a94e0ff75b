#!lua flags=allow-oom
-- abandon: give the claim back, because nothing was sent; a copy of the claim that arrives later
-- is refused.
--
-- The record stays, in state none: its fence must never fall, and the void mark must be found by
-- a claim that was held up on the way.
--
-- KEYS record lease token due
-- ARGV id attempt
--      keep_ms  how long the mark is kept from now
--      channel  where it is announced to those who wait
--      by why
--
-- abandoned      the claim was this attempt's and is given back, its token can be spent again
-- voided         there was no such claim; should it still arrive it will be refused
-- refused state  the order has moved on; nothing was written
local record, lease, token, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, attempt, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local channel, by, why = ARGV[4], ARGV[5], ARGV[6]

local r = redis.call('HMGET', record, 'state', 'fence', 'attempt', 'void', 'waited', 'history')
local state, void = r[1] or 'none', r[4] or ''
if void ~= '' and holds(void, attempt) then
  return {state == 'none' and r[3] == attempt and 'abandoned' or 'voided'}
end

local mine = r[3] == attempt
if mine and state ~= 'in_flight' then
  return {'refused', state}
end
-- The newest marks are kept: 32 attempts of 22 characters.
void = string.sub(attempt .. (void ~= '' and ',' or '') .. void, 1, 735)
if not mine then
  redis.call('HSET', record, 'void', void)
  if not r[1] then redis.call('PEXPIRE', record, keep_ms) end
  return {'voided'}
end

local now = now_ms()
redis.call('HSET', record, 'state', 'none', 'void', void, 'updated', text(now),
  'history', noted(r[6], now, state, 'none', by, why))
redis.call('HDEL', record, 'fingerprint', 'caller', 'token', 'waited', 'created', 'settled')
redis.call('PEXPIRE', record, keep_ms)
redis.call('ZREM', due, id)
if redis.call('HGET', token, 'spent') == attempt then
  redis.call('HDEL', token, 'spent')
end
if redis.call('GET', lease) == attempt .. ':' .. r[2] then
  redis.call('DEL', lease)
end
if r[5] then
  redis.call('PUBLISH', channel, id)
end
return {'abandoned'}
