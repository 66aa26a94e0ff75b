#!lua
-- claim: spend the token, take the lease and raise the fence, all or nothing; or say what stands.
--
-- Every check stands before the first write. The record outlives the lease, whatever keep_ms says.
--
-- KEYS record lease token due unknown lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id            the order's id, as it stands in the indexes
--   attempt       who asks; the same attempt asking again gets the same answer
--   lease_ms      how long the lease holds without renewal
--   keep_ms       how long a record that is not final is kept
--   fingerprints  what was asked, a digest per secret, comma-separated, the writing one first
--   callers       who asked, likewise
--   grant_from    states a claim may start from, comma-separated
--   token         the presented token's hash, or empty
--   token_until   ms since 1970: the token was free and has been bound to this order; else 0
--   by
--   asked         the record's part of what was asked, packed: its `ask`, ms, says how long after it
--                 became unknown it is first asked about, where anybody can be asked; its `move`
--                 is `start from to keep_ms hold_ms`: the states of its lifecycle it may start from,
--                 comma-separated, and where its success leads; how long these are kept, and how
--                 long an order may be silent that moves them; its `trace` is told to who asks later
--
-- Replies
--   granted fence attempts from
--       the lease is taken, the record says in_flight; from is the state it left
--   found state fence answered left_ms trace
--       the order stands in that state; where a result is still to come, its settle will be
--       published; one in flight shows no answer. left_ms: in flight, how long its lease holds;
--       succeeded or failed, how long its record is kept, unless a token is presented that the
--       record does not know; else 0. trace: the place of the attempt in a trace, empty where it has
--       none
--   lapsed fence
--       in_flight, but its lease is gone: say so with lapse, then ask again
--   mismatch state  same key, other request
--   moving state    it may start, but another order of its number is moving their lifecycle
--   illegal state stands
--       it may start, but not while its lifecycle stands there
--   token-invalid   unknown, expired, spent, of another order or another caller
--   voided          this attempt was abandoned, or another took its place, before this call arrived
local record, lease, token, due, unknown = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lifecycle = KEYS[6]
local id, attempt, lease_ms, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local fingerprints, callers, grant_from = ARGV[5], ARGV[6], ARGV[7]
local token_hash, token_until = ARGV[8], tonumber(ARGV[9])
local by, asks = ARGV[10], ARGV[11]

local r, asked, answered = read(record, 'asked', 'answered')
local state, fence, attempts = r.state or 'none', tonumber(r.fence or 0), tonumber(r.attempts or 0)

if r.void and holds(r.void, attempt) then
  return {'voided'}
end

-- An earlier copy of this call got through and its answer was lost. Nothing has been sent since,
-- for only its answer allows that; so a lease that ran out meanwhile is taken anew.
if state == 'in_flight' and r.attempt == attempt then
  redis.call('SET', lease, attempt .. ':' .. text(fence), 'PX', lease_ms)
  redis.call('PEXPIRE', record, 2 * lease_ms, 'GT')
  return {'granted', text(fence), text(attempts), r.from or 'none'}
end

local a = opened(asked)
local tokens = r.token or ''
local new_token = token_hash ~= '' and not holds(tokens, token_hash)
if token_hash ~= '' and not new_token and not holds(callers, a.caller or '') then
  return {'token-invalid'}
end
if new_token and not may_start(token, token_until, callers, id) then
  return {'token-invalid'}
end

-- One that may run again is as bound to its request as before.
if (state ~= 'none' or r.released) and a.fingerprint and not holds(fingerprints, a.fingerprint) then
  return {'mismatch', state}
end

-- An attempt that has ended does not begin again: this is an old copy of its claim.
local last = r.attempt
if last == attempt or not holds(grant_from, state) then
  local held
  if state == 'in_flight' then
    held = redis.call('PTTL', lease)
    if held < 0 then return {'lapsed', text(fence)} end
  else
    held = unfinished(lease, state, answered, r.settled)
  end
  if not r.waited and (held or state == 'unknown' or state == 'cancelling') then
    r.waited = '1'
    write(record, r)
  end
  if held then
    return {'found', 'in_flight', text(fence), '', text(held), a.trace or ''}
  end
  local left = 0
  if (state == 'succeeded' or state == 'failed') and not new_token then
    left = redis.call('PTTL', record)
  end
  return {'found', state, text(fence), answered or '', text(left), a.trace or ''}
end

local move = lifecycle and opened(asks).move
local bar, stands = barred(lifecycle, move, id)
if bar == 'moving' then
  return {'moving', state}
end
if bar then
  return {'illegal', state, stands}
end

-- The record says nobody holds this order. A lease that stands all the same (the record was lost,
-- its lease was not) still wins: wait for it to run out.
local owner = attempt .. ':' .. text(fence + 1)
if not redis.call('SET', lease, owner, 'NX', 'PX', ARGV[3]) then
  return {'found', 'in_flight', text(fence), '', text(redis.call('PTTL', lease)), ''}
end
local now = now_ms()
fence, attempts = fence + 1, attempts + 1
if new_token then
  tokens = spend(token, token_until, callers, id, attempt, tokens, token_hash)
end
-- What the attempt before left (its response, and that it may have happened) stays until this one
-- is settled: abandoned, it changes nothing. Late copies of the other's claim are refused.
if state == 'unknown' or r.released then
  redis.call('ZREM', unknown, id)
  r.released = nil
  if last then r.void = with(r.void, last) end
end
r.history = noted(r.history, now, state, 'in_flight', by, 'claimed')
r.state, r.fence, r.attempt, r.attempts = 'in_flight', text(fence), attempt, text(attempts)
r.from, r.updated, r.asks, r.token = state, text(now), '0', tokens
r.created = r.created or r.updated
if lifecycle then begin(lifecycle, move, id, now) end
write(record, r, 'asked', asks)
redis.call('PEXPIRE', record, text(math.max(keep_ms, 2 * lease_ms)))
redis.call('ZADD', due, text(now + lease_ms), id)
return {'granted', r.fence, r.attempts, state}
