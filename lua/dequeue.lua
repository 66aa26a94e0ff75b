#!lua flags=allow-oom
-- dequeue: take an entry off the queue, if its order has moved on. What is queued or in flight keeps
-- its entry, so that whoever takes it over finds the order.
--
-- The last entry takes the stream along: an idle partition holds nothing.
--
-- KEYS record request queue
--
-- ARGV
--   id
--   entry
--   keep_ms  how long the request of an order that is not final is kept from now
--
-- Replies
--   removed state  the entry is gone; where the order stands
--   open state     the order is queued or in flight; nothing was written
local record, request, queue = KEYS[1], KEYS[2], KEYS[3]
local id, entry, keep_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local state = redis.call('HGET', record, 'state') or 'none'
if state == 'queued' or state == 'in_flight' then
  return {'open', state}
end
if state == 'unknown' or state == 'cancelling' then
  redis.call('PEXPIRE', request, keep_ms)
else
  redis.call('DEL', request)
end
off_queue(queue, entry, id)
return {'removed', state}
