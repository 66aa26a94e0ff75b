#!lua
-- issue_token: one right to start a payment, bound to a caller and, where its key is known, to an
-- order.
--
-- KEYS token
--
-- ARGV
--   caller  digest of the caller's headers
--   route   the route it is good for
--   order   the order's id, or empty: the first order that presents it
--   ttl_ms  how long it is good
--
-- Replies
--   issued until  ms since 1970; an earlier copy of this call gives the same answer
local token = KEYS[1]
local caller, route, order, ttl_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local left = redis.call('PTTL', token)
if left < 0 then
  redis.call('HSET', token, 'caller', caller, 'route', route, 'order', order)
  redis.call('PEXPIRE', token, ttl_ms)
  left = ttl_ms
end
return {'issued', text(now_ms() + left)}
