#!lua flags=allow-oom
-- put_back: hand back an entry that was taken and not worked on, so that another worker has it at
-- once and not only when this one has been silent for long.
--
-- KEYS queue
--
-- ARGV
--   id
--   entry
--   consumer
--   hint       channel that wakes workers; empty for none
--   partition  its number, as it is told there
--
-- Replies
--   back   whoever takes next gets it, by this call or an earlier copy
--   moved  the entry is gone, or in another worker's hands; nothing was written
local queue = KEYS[1]
local id, entry, consumer, hint, partition = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local found = redis.call('XRANGE', queue, entry, entry)[1]
if not found or found[2][2] ~= id then
  return {'moved'}
end
local held = redis.call('XPENDING', queue, WORKERS, entry, entry, 1, consumer)[1]
if not held then
  return {'moved'}
end
-- Idle since 1970: longer than any worker may be silent. It counts as no delivery.
redis.call('XCLAIM', queue, WORKERS, consumer, 0, entry, 'TIME', 1, 'JUSTID')
if hint ~= '' then redis.call('PUBLISH', hint, partition) end
return {'back'}
