#!lua
-- accept_callback: whether a channel's notification is forwarded, answered from the record, or
-- refused (callback-once).
--
-- Only what was acknowledged is a record to repeat or to contradict: before that nobody has checked
-- a signature, and a forged first copy must not lock the true one out.
--
-- KEYS callback lease
--
-- ARGV
--   attempt
--   lease_ms   how long the copy that is forwarded keeps others from being forwarded
--   keep_ms    how long an event that is not acknowledged is remembered
--   unchanged  digests of what may not differ, one per secret, comma-separated
--   forward    yes: forward it if nobody else does; no: this copy has met another, only tell
--   trace      the place of this copy in a trace, told to repeats; empty where it has none
--
-- Replies
--   first fence  forward it; the same attempt asking again gets the same answer
--   repeat status headers body trace
--       acknowledged already, with this answer
--   busy lease_ms  another copy is being forwarded
--   open           not acknowledged and not being forwarded, nor is this copy to be
--   contradiction  acknowledged already, and this copy says something else
local callback, lease = KEYS[1], KEYS[2]
local attempt, lease_ms, keep_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local unchanged, forward, trace = ARGV[4], ARGV[5], ARGV[6]

local r = redis.call('HMGET', callback, 'fence', 'attempt', 'dropped', 'unchanged', 'status',
  'headers', 'body', 'v', 'trace')
known(r[8], 'callback')
if r[5] then
  if not holds(unchanged, r[4]) then return {'contradiction'} end
  return {'repeat', r[5], r[6], r[7], r[9] or ''}
end
local fence, holder = tonumber(r[1] or 0), redis.call('GET', lease)
-- An earlier copy of this call got through and its answer was lost: nothing has been sent since.
local again = r[2] == attempt and (not holder or holder == attempt .. ':' .. text(fence))
if holder and not again then
  return {'busy', text(redis.call('PTTL', lease))}
end
if r[3] == attempt or (forward ~= 'yes' and not again) then
  return {'open'}
end
if not again then fence = fence + 1 end
redis.call('SET', lease, attempt .. ':' .. text(fence), 'PX', lease_ms)
redis.call('HSET', callback, 'v', '1', 'fence', text(fence), 'attempt', attempt)
if trace ~= '' then
  redis.call('HSET', callback, 'trace', trace)
elseif r[9] then
  redis.call('HDEL', callback, 'trace')
end
redis.call('PEXPIRE', callback, math.max(keep_ms, 2 * lease_ms))
return {'first', text(fence)}
