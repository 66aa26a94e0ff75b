#!lua flags=allow-oom
-- resolve: make an order final on somebody's word other than its attempt's: a query's, a cancel
-- call's, an operator's.
--
-- A full Redis must not lose an outcome: this script may write past maxmemory.
--
-- KEYS record lease due unknown cancelling lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id
--   turn     names this call; a copy of it gets the same answer
--   fence    the fence the word is about, or empty for any
--   to       the state the order ends in
--   from     states it may leave, comma-separated (the transition table is Rust's)
--   keep_ms  how long the record is kept from now
--   stored   yes: the response follows; large: it was too large to store; keep: what is stored
--            stays; told: it stays only if the attempt itself ended so, else there is none
--   status
--   headers
--   body
--   channel  where it is announced to those who wait
--   by
--   why
--
-- Replies
--   resolved       written, or an earlier copy of this call wrote it
--   astray stands  likewise, but its lifecycle stands there and was not moved: another order moved
--                  it, or is moving it
--   held lease_ms  its attempt still runs; nothing was written
--   fenced fence   another attempt has begun, under this fence; nothing was written
--   refused state  the order's state does not allow it; nothing was written
--   gone           there is no such record
local record, lease, due, unknown, cancelling = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lifecycle = KEYS[6]
local id, turn, fence, to, from = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local keep_ms, stored, status, headers, body = tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local channel, by, why = ARGV[11], ARGV[12], ARGV[13]

local r = redis.call('HMGET', record, 'state', 'fence', 'settled', 'told', 'waited', 'history',
  'move', 'astray')
if not r[1] then
  return {'gone'}
end
if r[3] == turn and r[1] == to then
  if r[8] then return {'astray', r[8]} end
  return {'resolved'}
end
if fence ~= '' and (r[2] or '0') ~= fence then
  return {'fenced', r[2] or '0'}
end
if not holds(from, r[1]) then
  return {'refused', r[1]}
end
local held = redis.call('PTTL', lease)
if held >= 0 then
  return {'held', text(held)}
end

local now = now_ms()
if stored == 'told' then
  stored = r[4] == to and 'keep' or 'no'
end
local astray = follow(lifecycle, r[7], id, to, now)
if stored ~= 'keep' then
  redis.call('HSET', record, 'stored', stored, 'status', status, 'headers', headers, 'body', body)
end
redis.call('HSET', record, 'state', to, 'settled', turn, 'updated', text(now),
  'history', noted(r[6], now, r[1], to, by, telling(why, astray)))
redis.call('PEXPIRE', record, keep_ms)
redis.call('ZREM', due, id)
redis.call('ZREM', unknown, id)
redis.call('ZREM', cancelling, id)
if r[5] then
  redis.call('HDEL', record, 'waited')
  redis.call('PUBLISH', channel, id)
end
if astray then
  redis.call('HSET', record, 'astray', astray)
  return {'astray', astray}
end
return {'resolved'}
