#!lua
-- enqueue: accept an order into the buffer: spend the token, write the record and the entry, all or
-- nothing; or say what stands. The token's rules are claim's.
--
-- A queued order's record has no end of its own: what was accepted is not forgotten. It gets one
-- when it is claimed.
--
-- KEYS record lease token request queue lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id            the order's id, as it stands in the entry
--   attempt       who asks; what a token is spent by
--   fingerprints  what was asked, a digest per secret, comma-separated, the writing one first
--   callers       who asked, likewise
--   grant_from    states an order may be queued from, comma-separated
--   token         the presented token's hash, or empty
--   token_until   ms since 1970: the token was free and has been bound to this order; else 0
--   route
--   key
--   scope
--   by
--   request       what is to be sent, sealed
--   most          entries this partition may hold
--   hint          channel that wakes workers
--   partition     its number, as it is told there
--   move          its part in its lifecycle, as claim takes it
--
-- Replies
--   queued fence attempts created updated
--       the order is queued, by this call or another of the same request; times in ms since 1970
--   found state fence stored status headers body lease_ms
--       the order stands in that state, as claim tells it
--   lapsed fence
--       in_flight, but its lease is gone: say so with lapse, then ask again
--   mismatch state  same key, other request
--   token-invalid   unknown, expired, spent, of another order or another caller
--   overloaded      the partition holds as many entries as it may; nothing was written
--   moving state    as claim says it
--   illegal state stands
--       likewise
local record, lease, token, request, queue = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lifecycle = KEYS[6]
local id, attempt, fingerprints, callers = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local grant_from, token_hash, token_until = ARGV[5], ARGV[6], tonumber(ARGV[7])
local route, key, scope, by = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local sealed, most, hint, partition = ARGV[12], tonumber(ARGV[13]), ARGV[14], ARGV[15]
local move = ARGV[16]

local r = redis.call('HMGET', record, 'state', 'fence', 'attempts', 'fingerprint', 'token', 'stored',
  'status', 'headers', 'body', 'created', 'updated', 'history', 'caller', 'settled')
local state, fence, attempts = r[1] or 'none', r[2] or '0', r[3] or '0'

local tokens = r[5] or ''
local new_token = token_hash ~= '' and not holds(tokens, token_hash)
if token_hash ~= '' and not new_token and not holds(callers, r[13] or '') then
  return {'token-invalid'}
end
if new_token and not may_start(token, token_until, callers, id) then
  return {'token-invalid'}
end

if state ~= 'none' and r[4] and not holds(fingerprints, r[4]) then
  return {'mismatch', state}
end

if state == 'queued' then
  return {'queued', fence, attempts, r[10] or '0', r[11] or '0'}
end
local held = redis.call('PTTL', lease)
if not holds(grant_from, state) then
  if state == 'in_flight' then
    if held < 0 then return {'lapsed', fence} end
    return {'found', state, fence, '', '', '', '', text(held)}
  end
  if unfinished(lease, state, r[6], r[14]) then
    return {'found', 'in_flight', fence, '', '', '', '', text(held)}
  end
  return {'found', state, fence, r[6] or '', r[7] or '', r[8] or '', r[9] or '', '0'}
end
-- The record says nobody holds this order. A lease that stands all the same (the record was lost,
-- its lease was not) still wins.
if held >= 0 then
  return {'found', 'in_flight', fence, '', '', '', '', text(held)}
end
local bar, stands = barred(lifecycle, move, id)
if bar == 'moving' then
  return {'moving', state}
end
if bar then
  return {'illegal', state, stands}
end
if redis.call('XLEN', queue) >= most then
  return {'overloaded'}
end

local now = now_ms()
if new_token then
  redis.call('HSET', token, 'caller', string.match(callers, '[^,]*'), 'order', id, 'spent', attempt)
  if token_until > 0 then redis.call('PEXPIREAT', token, token_until) end
  tokens = with(tokens, token_hash)
end
local created = r[10] or text(now)
redis.call('HSET', record, 'v', '1', 'state', 'queued', 'fence', fence, 'attempts', attempts,
  'fingerprint', string.match(fingerprints, '[^,]*'), 'caller', string.match(callers, '[^,]*'),
  'token', tokens, 'route', route, 'key', key, 'scope', scope, 'created', created,
  'updated', text(now), 'history', noted(r[12], now, state, 'queued', by, 'accepted'))
redis.call('HDEL', record, 'tries', 'tried')
redis.call('PERSIST', record)
if lifecycle then
  redis.call('HSET', record, 'move', move)
  begin(lifecycle, move, id, now)
end
redis.call('SET', request, sealed)
if redis.call('EXISTS', queue) == 0 then
  redis.call('XGROUP', 'CREATE', queue, WORKERS, '0', 'MKSTREAM')
end
redis.call('XADD', queue, '*', 'id', id)
redis.call('PUBLISH', hint, partition)
return {'queued', fence, attempts, created, text(now)}
