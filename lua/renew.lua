#!lua flags=allow-oom
-- renew: hold the lease for longer, if it is still this attempt's to hold.
--
-- A full Redis must not make orders unknown: this script may write past maxmemory.
--
-- KEYS record lease
--
-- ARGV
--   attempt
--   fence
--   lease_ms  how long the lease holds from now; the record is kept for twice as long at least
--
-- Replies
--   renewed     the lease was held and holds again
--   regained    it had run out, but nobody had noticed: the record still names this attempt, so
--               it is taken anew
--   lost state  the order moved on, or this attempt has ended; one that has not goes on, its outcome
--               decides
local record, lease = KEYS[1], KEYS[2]
local attempt, fence, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local owner = attempt .. ':' .. fence
local r = read(record)
-- A cancel that was asked for does not end the attempt, it waits for its end.
local runs = r.state == 'in_flight' or r.state == 'cancelling'
if not runs or r.fence ~= fence or r.attempt ~= attempt then
  return {'lost', r.state or 'none'}
end
-- A late copy must not make the cancel wait for an attempt that has ended.
if r.settled == attempt then
  return {'lost', r.state}
end
local holder = redis.call('GET', lease)
if holder and holder ~= owner then
  return {'lost', r.state}
end
redis.call('SET', lease, owner, 'PX', lease_ms)
redis.call('PEXPIRE', record, 2 * lease_ms, 'GT')
if not holder then
  return {'regained'}
end
return {'renewed'}
