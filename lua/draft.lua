#!lua flags=no-writes
-- draft: what a queued order asks, to be claimed and sent. Writes nothing.
--
-- KEYS record request
--
-- Replies
--   queued later_ms route key scope fingerprint caller trace request
--       later_ms: for how long it is not to be tried, because upstream said so. request is sealed;
--       empty where it is gone. trace: the place of its acceptance in a trace
--   moved state  the order is not queued
local record, request = KEYS[1], KEYS[2]

local r = read(record)
if r.state ~= 'queued' then
  return {'moved', r.state or 'none'}
end
local a = opened(r.asked)
local later = math.max((tonumber(r.later) or 0) - now_ms(), 0)
return {'queued', text(later), a.route or '', a.key or '', a.scope or '', r.fingerprint or '', a.caller or '',
  a.trace or '', redis.call('GET', request) or ''}
