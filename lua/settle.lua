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
--   stored   yes: the response follows; large: it was too large to store; no: there is none
--   status
--   headers
--   body
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
local keep_ms, stored, status, headers, body = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local channel, by, why = ARGV[11], ARGV[12], ARGV[13]

local r = redis.call('HMGET', record, 'state', 'fence', 'attempt', 'settled', 'waited', 'history',
  'released', 'ask', 'stored', 'told', 'move', 'astray')
if not r[1] then
  return {'gone'}
end
if r[2] ~= fence or r[3] ~= attempt then
  return {'fenced', r[2] or '0'}
end
if r[4] == attempt and r[1] == to then
  if r[12] then return {'astray', r[12]} end
  return {'settled'}
end
-- Final already, on a callback's word; nothing follows this state, so `from` does not list it. Once
-- the lease is gone duplicates may have got the order document, and get it for good.
if r[1] == to and not holds(from, to) and not r[9] and not r[4] then
  if unfinished(lease, to, r[9], r[4]) then
    redis.call('HSET', record, 'settled', attempt, 'stored', stored, 'status', status,
      'headers', headers, 'body', body)
    redis.call('DEL', lease)
    if r[5] then
      redis.call('HDEL', record, 'waited')
      redis.call('PUBLISH', channel, id)
    end
  end
  if r[12] then return {'astray', r[12]} end
  return {'settled'}
end
local cancelling = r[1] == 'cancelling'
if cancelling and r[4] == attempt and (to == 'unknown' or (r[10] or 'unknown') ~= 'unknown') then
  return {'kept'}
end
-- One that may run again and has not yet: its outcome is as welcome as it was while unknown.
local state = r[1]
if state == 'none' and r[7] == attempt then
  state = 'unknown'
end
if not cancelling and not holds(from, state) then
  if unfinished(lease, state, r[9], r[4]) then
    redis.call('DEL', lease)
    if r[5] then redis.call('PUBLISH', channel, id) end
  end
  return {'refused', r[1]}
end

local now = now_ms()
if cancelling then
  follow(lifecycle, r[11], id, 'cancelling', now)
  redis.call('HSET', record, 'settled', attempt, 'told', to, 'updated', text(now), 'history',
    noted(r[6], now, 'cancelling', 'cancelling', by, 'attempt ended ' .. to .. ': ' .. why))
  if stored ~= 'no' then
    redis.call('HSET', record, 'stored', stored, 'status', status, 'headers', headers, 'body', body)
  end
  redis.call('PEXPIRE', record, keep_ms, 'GT')
  redis.call('ZADD', due, text(now), id)
  redis.call('DEL', lease)
  return {'kept'}
end
local astray = follow(lifecycle, r[11], id, to, now)
redis.call('HSET', record, 'state', to, 'settled', attempt, 'updated', text(now), 'stored', stored,
  'status', status, 'headers', headers, 'body', body,
  'history', noted(r[6], now, r[1], to, by, telling(why, astray)))
if r[7] then
  redis.call('HDEL', record, 'released')
end
redis.call('PEXPIRE', record, keep_ms)
redis.call('ZREM', due, id)
if to == 'unknown' then
  redis.call('ZADD', unknown, 'NX', text(now), id)
  ask_later(due, id, now, r[8])
elseif r[1] == 'unknown' then
  redis.call('ZREM', unknown, id)
end
-- Nobody's but this attempt's: whoever takes a lease writes its name into the record.
redis.call('DEL', lease)
if r[5] then
  redis.call('HDEL', record, 'waited')
  redis.call('PUBLISH', channel, id)
end
if astray then
  redis.call('HSET', record, 'astray', astray)
  return {'astray', astray}
end
return {'settled'}
