#!lua flags=no-writes
-- look: one order as it stands. Writes nothing.
--
-- KEYS record lease lifecycle
-- The last is left out for an order without one.
--
-- Replies
--   order expires lease_ms ...
--       then the record's words, name and value in turn, and as such where its lifecycle stands
--       (lifecycle, mover), each only if it does; when the record expires is ms since 1970, or -1
--       where it has no end
--   absent
local record, lease, lifecycle = KEYS[1], KEYS[2], KEYS[3]

local r = read(record)
if not r.state then
  return {'absent'}
end
local reply = {'order', text(redis.call('PEXPIRETIME', record)), text(redis.call('PTTL', lease))}
local function tell(part)
  for name, value in pairs(part) do
    reply[#reply + 1] = name
    reply[#reply + 1] = value
  end
end
local asked = opened(r.asked)
r.asked = nil
tell(r)
tell(asked)
if lifecycle then
  local state, mover = standing(lifecycle, nil, now_ms())
  tell({lifecycle = state, mover = mover or nil})
end
return reply
