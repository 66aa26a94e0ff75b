#!lua
-- bind_token: a token issued without a key belongs to the first order that presents it, from this
-- moment on. It is spent later, by claim, in the slot of its order.
--
-- KEYS token
--
-- ARGV
--   callers  digests of the caller's headers, one per secret, comma-separated
--   route    the route it is presented on
--   order    the order's id
--
-- Replies
--   bound until  ms since 1970: when it runs out; the same order asking again gets the same answer
--   invalid      unknown, expired, or of another route, caller or order
local token = KEYS[1]
local callers, route, order = ARGV[1], ARGV[2], ARGV[3]

local t = redis.call('HMGET', token, 'caller', 'route', 'order')
if not t[1] or not holds(callers, t[1]) or t[2] ~= route or (t[3] ~= '' and t[3] ~= order) then
  return {'invalid'}
end
if t[3] == '' then
  redis.call('HSET', token, 'order', order)
end
return {'bound', text(redis.call('PEXPIRETIME', token))}
