#!lua flags=no-writes
-- draft: what a queued order asks, to be claimed and sent. Writes nothing.
--
-- KEYS record request
--
-- Replies
--   queued route key scope fingerprint caller trace request
--       request is sealed; empty where it is gone. trace: the place of its acceptance in a trace
--   moved state  the order is not queued
local record, request = KEYS[1], KEYS[2]

local r = read(record)
if r.state ~= 'queued' then
  return {'moved', r.state or 'none'}
end
local a = opened(r.asked)
return {'queued', a.route or '', a.key or '', a.scope or '', r.fingerprint or '', a.caller or '',
  a.trace or '', redis.call('GET', request) or ''}
