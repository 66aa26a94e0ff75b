#!lua flags=no-writes
-- draft: what a queued order asks, to be claimed and sent. Writes nothing.
--
-- KEYS record request
--
-- Replies
--   queued route key scope fingerprint caller request
--       request is sealed; empty where it is gone
--   moved state  the order is not queued
local record, request = KEYS[1], KEYS[2]

local r = redis.call('HMGET', record, 'state', 'route', 'key', 'scope', 'fingerprint', 'caller')
if r[1] ~= 'queued' then
  return {'moved', r[1] or 'none'}
end
return {'queued', r[2] or '', r[3] or '', r[4] or '', r[5] or '', r[6] or '', redis.call('GET', request) or ''}
