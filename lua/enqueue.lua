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
--   by
--   asked         the record's part of what was asked, as claim takes it
--   request       what is to be sent, sealed
--   most          entries this partition may hold
--   hint          channel that wakes workers
--   partition     its number, as it is told there
--
-- Replies
--   queued fence attempts created updated
--       the order is queued, by this call or another of the same request; times in ms since 1970
--   found state fence answered lease_ms trace
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
local by, asks, sealed, most = ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local hint, partition = ARGV[12], ARGV[13]

local r = read(record)
local a, state = opened(r.asked), r.state or 'none'
local fence, attempts = r.fence or '0', r.attempts or '0'

local tokens = r.token or ''
local new_token = token_hash ~= '' and not holds(tokens, token_hash)
if token_hash ~= '' and not new_token and not holds(callers, a.caller or '') then
  return {'token-invalid'}
end
if new_token and not may_start(token, token_until, callers, id) then
  return {'token-invalid'}
end

-- One that may run again is as bound to its request as before.
if (state ~= 'none' or r.released) and r.fingerprint and not holds(fingerprints, r.fingerprint) then
  return {'mismatch', state}
end

if state == 'queued' then
  return {'queued', fence, attempts, r.created or '0', r.updated or '0'}
end
local held = redis.call('PTTL', lease)
if not holds(grant_from, state) then
  if state == 'in_flight' then
    if held < 0 then return {'lapsed', fence} end
    return {'found', state, fence, '', text(held), a.trace or ''}
  end
  if unfinished(lease, state, r.answered, r.settled) then
    return {'found', 'in_flight', fence, '', text(held), a.trace or ''}
  end
  return {'found', state, fence, r.answered or '', '0', a.trace or ''}
end
-- The record says nobody holds this order. A lease that stands all the same (the record was lost,
-- its lease was not) still wins.
if held >= 0 then
  return {'found', 'in_flight', fence, '', text(held), a.trace or ''}
end
local move = lifecycle and opened(asks).move
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
  tokens = spend(token, token_until, callers, id, attempt, tokens, token_hash)
end
r.history = noted(r.history, now, state, 'queued', by, 'accepted')
r.state, r.fence, r.attempts, r.updated = 'queued', fence, attempts, text(now)
r.tries, r.tried, r.later, r.dead = nil, nil, nil, nil
r.token, r.created = tokens, r.created or r.updated
r.fingerprint, r.asked = first(fingerprints), asks
if lifecycle then begin(lifecycle, move, id, now) end
write(record, r)
redis.call('PERSIST', record)
redis.call('SET', request, sealed)
on_queue(queue, id, hint, partition)
return {'queued', fence, attempts, r.created, r.updated}
