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
--   attempt
--   fence
--   to       the state the attempt ended in
--   from     states it may leave, comma-separated (the transition table is Rust's)
--   keep_ms  how long the record is kept from now
--   answer   the record's part of what was answered; `no` without one
--   channel  where a settle is announced to those who wait
--   by
--   why
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
--   fenced fence   the order is another attempt's, under this fence; nothing was written
--   refused state  the order's state does not allow it; nothing was written, but nobody is to wait
--                  for this attempt's response any more
--   gone           there is no such record
local record, lease, due, unknown = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lifecycle = KEYS[5]
local id, attempt, fence, to, from = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local keep_ms, answer = ARGV[6], ARGV[7]
local channel, by, why = ARGV[8], ARGV[9], ARGV[10]

local r, answered, asked
if lifecycle or to == 'unknown' then
  r, answered, asked = read(record, 'answered', 'asked')
else
  r, answered = read(record, 'answered')
end
if not r.state then
  return {'gone'}
end
if r.fence ~= fence or r.attempt ~= attempt then
  return {'fenced', r.fence or '0'}
end
if r.settled == attempt and r.state == to then
  if r.astray then return {'astray', r.astray} end
  return {'settled'}
end
-- Final already, on a callback's word; nothing follows this state, so `from` does not list it. Once
-- the lease is gone duplicates may have got the order document, and get it for good.
if r.state == to and not holds(from, to) and not answered and not r.settled then
  if unfinished(lease, to, answered, r.settled) then
    local waited = r.waited
    r.settled, r.waited = attempt, nil
    write(record, r, 'answered', answer)
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
-- One that may run again and has not yet: its outcome is as welcome as it was while unknown.
local state = r.state
if state == 'none' and r.released == attempt then
  state = 'unknown'
end
if not cancelling and not holds(from, state) then
  if unfinished(lease, state, answered, r.settled) then
    redis.call('DEL', lease)
    if r.waited then redis.call('PUBLISH', channel, id) end
  end
  return {'refused', r.state}
end

local now, a = now_ms(), opened(asked)
if cancelling then
  follow(lifecycle, a.move, id, 'cancelling', now)
  why = 'attempt ended ' .. to .. ': ' .. why
  r.history = noted(r.history, now, 'cancelling', 'cancelling', by, why)
  r.settled, r.told, r.updated = attempt, to, text(now)
  write(record, r)
  if answer ~= 'no' then redis.call('HSET', record, 'answered', answer) end
  redis.call('PEXPIRE', record, keep_ms, 'GT')
  redis.call('ZADD', due, text(now), id)
  redis.call('DEL', lease)
  return {'kept'}
end
local left, waited = r.state, r.waited
local astray = follow(lifecycle, a.move, id, to, now)
r.history = noted(r.history, now, left, to, by, telling(why, astray))
r.state, r.settled, r.updated, r.astray = to, attempt, text(now), astray or r.astray
r.released, r.waited = nil, nil
write(record, r, 'answered', answer)
redis.call('PEXPIRE', record, keep_ms)
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
