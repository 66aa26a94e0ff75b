#!lua
-- ping: whether a script may write here.
--
-- Whatever keeps a claim from being written keeps this from being written: a server that is no
-- primary or lost its replicas, full memory, a user who may not. The key tells nothing.
--
-- KEYS ping
--
-- ARGV
--   by
--   keep_ms  how long the key is kept
--
-- Replies
--   pong
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'pong'}
