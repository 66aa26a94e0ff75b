#!lua
-- claim: spend the token, take the lease and raise the fence, all or nothing; or say what stands.
--
-- Every check stands before the first write.
--
-- KEYS record lease due unknown token lifecycle
-- The last is left out for an order without one, and the token with it where none is presented.
--
-- ARGV
--   id            the order's id, as it stands in the indexes
--   attempt       who asks; the same attempt asking again gets the same answer
--   lease_ms      how long the lease holds without renewal
--   keep_ms       how long a record that is not final is kept; it must outlive the lease
--   fingerprints  what was asked, a digest per secret, comma-separated, the writing one first
--   grant_from    states a claim may start from, comma-separated
--   by
--   asked         the record's part of what was asked, packed: its `ask`, ms, says how long after it
--                 became unknown it is first asked about, where anybody can be asked; its `move`
--                 is `start from to keep_ms hold_ms`: the states of its lifecycle it may start from,
--                 comma-separated, and where its success leads; how long these are kept, and how
--                 long an order may be silent that moves them; its `trace` is told to who asks later
--   left          yes: of an order that has ended, how long its record is kept is asked for; else
--                 empty. From here on left out as far as there is nothing to say
--   token         the presented token's hash
--   token_until   ms since 1970: the token was free and has been bound to this order; else 0
--   callers       who asked, likewise a digest per secret
--
-- Replies
--   granted fence attempts from at
--       the lease is taken, the record says in_flight; from is the state it left, at when, ms since
--       1970, or 0 if an earlier copy of this call took it
--   found state fence answered left_ms trace
--       the order stands in that state; where a result is still to come, its settle will be
--       published; one in flight shows no answer. left_ms: in flight, how long its lease holds;
--       succeeded or failed, how long its record is kept, unless a token is presented that the
--       record does not know; else 0. trace: the place of the attempt in a trace, empty where it has
--       none
--   3 ...
--       likewise, of one that succeeded or failed: its whole record as it lies in Redis, for this is
--       met most; where left was not asked for
--   done record left_ms
--       the same, where it was
--   lapsed fence
--       in_flight, but its lease is gone: say so with lapse, then ask again
--   mismatch state  same key, other request
--   moving state    it may start, but another order of its number is moving their lifecycle
--   illegal state stands
--       it may start, but not while its lifecycle stands there
--   token-invalid   unknown, expired, spent, of another order or another caller
--   voided          this attempt was abandoned, or another took its place, before this call arrived
local record, lease, due = KEYS[1], KEYS[2], KEYS[3]
local id, attempt, lease_ms, fingerprints, left = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[9]

-- Two ways are gone by nearly all, and are short: the first claim of a new order, and the duplicate of
-- one that has ended; each with the token that was fetched for the order, or without one. They decide as
-- what follows would; in doubt, that decides.
local raw = redis.pcall('GET', record)
local token = KEYS[5]
if not KEYS[6] and not string.find(fingerprints, ',', 1, true) then
  if not raw and string.find(ARGV[6], 'none', 1, true) then
    local t = token and redis.call('HMGET', token, 'caller', 'order', 'spent')
    local may = not t or (t[1] == ARGV[12] and t[2] == id and not t[3] and ARGV[11] == '0')
    if may and redis.call('SET', lease, attempt .. ':1', 'NX', 'PX', lease_ms) then
      -- A script has one time: what the lease ends at tells it, sooner than TIME would.
      local ends = redis.call('PEXPIRETIME', lease)
      local at = string.format('%d', ends - lease_ms)
      if t then redis.call('HSET', token, 'spent', attempt) end
      redis.call('SET', record, '3 ' .. fingerprints .. ' in_flight open 1 ' .. attempt .. ' 1 none 0 '
        .. at .. ' ' .. (t and ARGV[10] or '-') .. ' ' .. at .. '\n' .. at .. ' none in_flight '
        .. ARGV[7] .. ' claimed\n' .. ARGV[8], 'PX', ARGV[4])
      redis.call('ZADD', due, string.format('%d', ends), id)
      return 'granted 1 1 none ' .. at
    end
  elseif type(raw) == 'string' and not string.find(raw, attempt, 1, true) then
    local ends = 3 + #fingerprints
    if string.find(raw, fingerprints, 3, true) == 3 and (string.find(raw, ' succeeded done ', ends, true)
      == ends or string.find(raw, ' failed done ', ends, true) == ends) then
      local is_its = not token
      if token then
        -- The token stands in the first line, its caller in what was asked.
        local line = string.find(raw, '\n', ends, true)
        local at = string.find(raw, ' ' .. ARGV[10] .. ' ', ends, true)
        local asked = string.find(raw, '\nasked ', line, true)
        local length, from = string.match(raw, '^(%d+)\n()', asked + 7)
        local who = string.find(raw, cmsgpack.pack('caller', ARGV[12]), from, true)
        is_its = at and at < line and who and who < from + length
      end
      if is_its then
        if left ~= 'yes' then return raw end
        return {'done', raw, redis.call('PTTL', record)}
      end
    end
  end
end

local unknown, lifecycle = KEYS[4], KEYS[6]
local keep_ms, grant_from, by, asks = tonumber(ARGV[4]), ARGV[6], ARGV[7], ARGV[8]
local token_hash, token_until, callers = ARGV[10] or '', tonumber(ARGV[11] or 0), ARGV[12] or ''
lease_ms = tonumber(lease_ms)
local r = read(record, raw)
local state, fence, attempts = r.state or 'none', tonumber(r.fence or 0), tonumber(r.attempts or 0)

if r.void and holds(r.void, attempt) then
  return {'voided'}
end

-- An earlier copy of this call got through and its answer was lost. Nothing has been sent since,
-- for only its answer allows that; so a lease that ran out meanwhile is taken anew.
if state == 'in_flight' and r.attempt == attempt then
  redis.call('SET', lease, attempt .. ':' .. text(fence), 'PX', lease_ms)
  redis.call('PEXPIRE', record, 2 * lease_ms, 'GT')
  return {'granted', text(fence), text(attempts), r.from or 'none', '0'}
end

local a = opened(r.asked)
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

-- An attempt that has ended does not begin again: this is an old copy of its claim.
local last = r.attempt
if last == attempt or not holds(grant_from, state) then
  local held
  if state == 'in_flight' then
    held = redis.call('PTTL', lease)
    if held < 0 then return {'lapsed', text(fence)} end
  else
    held = unfinished(lease, state, r.answered, r.settled)
  end
  if not r.waited and (held or state == 'unknown' or state == 'cancelling') then
    r.waited = '1'
    write(record, r)
  end
  if held then
    return {'found', 'in_flight', text(fence), '', text(held), a.trace or ''}
  end
  local left_ms = 0
  if left == 'yes' and (state == 'succeeded' or state == 'failed') and not new_token then
    left_ms = redis.call('PTTL', record)
  end
  return {'found', state, text(fence), r.answered or '', text(left_ms), a.trace or ''}
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
-- What the attempt before left (its response, that it may have happened, that it may run again) stays
-- until this one is settled: abandoned, it changes nothing. Late copies of the other's claim are refused.
if state == 'unknown' or r.released then
  redis.call('ZREM', unknown, id)
  if last then r.void = with(r.void, last) end
end
r.history = noted(r.history, now, state, 'in_flight', by, 'claimed')
r.state, r.fence, r.attempt, r.attempts = 'in_flight', text(fence), attempt, text(attempts)
r.from, r.updated, r.asks, r.token, r.lapsed = state, text(now), '0', tokens, nil
r.created = r.created or r.updated
r.fingerprint, r.asked = first(fingerprints), asks
if lifecycle then begin(lifecycle, move, id, now) end
write(record, r, keep_ms)
redis.call('ZADD', due, text(now + lease_ms), id)
return {'granted', r.fence, r.attempts, state, r.updated}
