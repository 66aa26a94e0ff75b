#!lua flags=allow-oom
-- settle: write what became of an attempt, and drop its lease.
--
-- A full Redis must not lose an outcome: this script may write past maxmemory.
--
-- KEYS record lease due unknown lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id
--   keep_ms  how long the record is kept from now
--   begun    the first line of the record if nothing but this attempt's claim is known of the order;
--            empty where nobody knows
--   begun_to  where in the record its last byte would stand, counted from 0
--   ended    the record's part of what was answered, `no` without one; behind the whole rest of what
--            the record becomes if it begins with `begun`
--   told     `attempt fence to from answer_at channel by why`, of which only the last may hold
--            spaces: to, the state the attempt ended in; from, the states it may leave,
--            comma-separated (the transition table is Rust's); answer_at, where in `ended` the part of
--            what was answered begins; channel, where a settle is announced to those who wait
--
-- Replies
--   settled        written, or an earlier copy of this call wrote it; an order that somebody else
--                  brought to the same end meanwhile gets the response it still lacks, while the
--                  lease lasts
--   astray stands  likewise, but its lifecycle stands there and was not moved: another order moved
--                  it, or is moving it
--   kept           the order is being cancelled: it stays so, the outcome and its response are kept
--                  for when the cancel call has decided, which is due at once; of two outcomes the
--                  first is kept that is not unknown
--   fenced fence state
--                  the order is another attempt's, under this fence, and stands there; nothing was
--                  written
--   refused state  the order's state does not allow it; nothing was written but a line in its
--                  history where one of the two is a success and the other an end without one, and
--                  nobody is to wait for this attempt's response any more
--   gone           there is no such record
local record, lease, due, lifecycle = KEYS[1], KEYS[2], KEYS[3], KEYS[5]
local id, keep_ms, begun, ended = ARGV[1], ARGV[2], ARGV[3], ARGV[5]

-- One way is gone by nearly all, and is short: an attempt ends while nothing but its claim is known of
-- its order and nobody waits, and the sidecar has the record written already. It decides as what
-- follows would; in doubt, that decides. Of the record only this line is read: every byte that Redis
-- hands to Lua takes its time.
if begun ~= '' and not lifecycle and redis.pcall('GETRANGE', record, '0', ARGV[4]) == begun then
  redis.call('SET', record, ended, 'PX', keep_ms)
  redis.call('ZREM', due, id)
  redis.call('DEL', lease)
  return 'settled'
end

local unknown = KEYS[4]
local attempt, fence, to, from, answer_at, channel, by, why =
  string.match(ARGV[6], '^' .. string.rep('(%S+) ', 7) .. '(.*)$')
local answer = string.sub(ended, answer_at)
local r = read(record)
if not r.state then
  return {'gone'}
end
if r.fence ~= fence or r.attempt ~= attempt then
  return {'fenced', r.fence or '0', r.state}
end
if r.settled == attempt and r.state == to then
  if r.astray then return {'astray', r.astray} end
  return {'settled'}
end
-- Final already, on a callback's word; nothing follows this state, so `from` does not list it. Once
-- the lease is gone duplicates may have got the order document, and get it for good.
if r.state == to and not holds(from, to) and not r.answered and not r.settled then
  if unfinished(lease, to, r.answered, r.settled) then
    local waited = r.waited
    r.settled, r.waited, r.answered = attempt, nil, answer
    write(record, r)
    redis.call('DEL', lease)
    if waited then redis.call('PUBLISH', channel, id) end
  end
  if r.astray then return {'astray', r.astray} end
  return {'settled'}
end
local cancelling = r.state == 'cancelling'
local told = r.told or 'unknown'
if cancelling and r.settled == attempt and (to == 'unknown' or told ~= 'unknown') then
  return {'kept'}
end
local state = r.released == attempt and met(r) or r.state
if not cancelling and not holds(from, state) then
  local awaited = unfinished(lease, state, r.answered, r.settled)
  local late = to == 'succeeded' and (state == 'failed' or state == 'cancelled')
  local against = late or (to == 'failed' and state == 'succeeded')
  -- Somebody else told that end; this attempt's own is told once.
  if against and r.settled ~= attempt and r.told ~= to then
    why = 'attempt ended ' .. to .. ': ' .. why
    r.history, r.told = noted(r.history, now_ms(), state, state, by, why), to
    write(record, r)
  end
  if awaited then
    redis.call('DEL', lease)
    if r.waited then redis.call('PUBLISH', channel, id) end
  end
  return {'refused', r.state}
end

local now, a = now_ms(), opened(r.asked)
if cancelling then
  follow(lifecycle, a.move, id, 'cancelling', now)
  why = 'attempt ended ' .. to .. ': ' .. why
  r.history = noted(r.history, now, 'cancelling', 'cancelling', by, why)
  r.settled, r.told, r.updated = attempt, to, text(now)
  if answer ~= 'no' then r.answered = answer end
  write(record, r)
  redis.call('PEXPIRE', record, keep_ms, 'GT')
  redis.call('ZADD', due, text(now), id)
  redis.call('DEL', lease)
  return {'kept'}
end
local left, waited = r.state, r.waited
local astray = follow(lifecycle, a.move, id, to, now)
r.history = noted(r.history, now, left, to, by, telling(why, astray))
r.state, r.settled, r.updated, r.astray = to, attempt, text(now), astray or r.astray
r.released, r.lapsed, r.waited, r.answered = nil, nil, nil, answer
write(record, r, keep_ms)
redis.call('ZREM', due, id)
if to == 'unknown' then
  redis.call('ZADD', unknown, 'NX', text(now), id)
  ask_later(due, id, now, a.ask)
elseif left == 'unknown' then
  redis.call('ZREM', unknown, id)
end
-- Nobody's but this attempt's: whoever takes a lease writes its name into the record.
redis.call('DEL', lease)
if waited then redis.call('PUBLISH', channel, id) end
if astray then return {'astray', astray} end
return {'settled'}
