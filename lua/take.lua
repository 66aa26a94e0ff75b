#!lua flags=allow-oom
-- take: entries for a worker: first those of workers that have been silent for too long, then new
-- ones. An entry is a name only; the order's record decides what becomes of it.
--
-- KEYS queue
--
-- ARGV
--   consumer
--   limit    how many at the most
--   idle_ms  how long an entry may be in a worker's hands before another takes it over
--
-- Replies
--   taken ...  then pairs: an entry, and the id of the order it stands for
--   empty      there is no entry in this partition
local queue = KEYS[1]
local consumer, limit, idle_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('EXISTS', queue) == 0 then
  return {'empty'}
end
local reply = {'taken'}
local function add(entries)
  for _, entry in ipairs(entries) do
    -- A message is its entry and its fields; the one field is the id.
    reply[#reply + 1] = entry[1]
    reply[#reply + 1] = entry[2][2]
  end
end
add(redis.call('XAUTOCLAIM', queue, WORKERS, consumer, idle_ms, '0-0', 'COUNT', limit)[2])
local room = limit - (#reply - 1) / 2
if room > 0 then
  local new = redis.call('XREADGROUP', 'GROUP', WORKERS, consumer, 'COUNT', room, 'STREAMS', queue, '>')
  if new and new[1] then add(new[1][2]) end
end
return reply
