#!lua flags=allow-oom
-- dequeue: take an entry off the queue, if its order has moved on. What is queued or in flight keeps
-- its entry, so that whoever takes it over finds the order; a try that left it queued is counted in
-- the record, whoever made it.
--
-- The last entry takes the stream along: an idle partition holds nothing.
--
-- KEYS record request queue
--
-- ARGV
--   id
--   entry
--   turn     names this try; a copy of this call counts it once
--   keep_ms  how long the request of an order that is not final is kept from now
--   wait_ms  how long until its next try at the earliest, because upstream said so; 0 where it did not
--
-- Replies
--   removed state  the entry is gone; where the order stands
--   open state tries
--                  the order is queued or in flight; how often it was tried since it was queued
local record, request, queue = KEYS[1], KEYS[2], KEYS[3]
local id, entry, turn, keep_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local wait_ms = tonumber(ARGV[5])

local r = read(record)
local state, tries = r.state or 'none', tonumber(r.tries or 0)
if state == 'in_flight' or (state == 'queued' and r.tried == turn) then
  return {'open', state, text(tries)}
end
if state == 'queued' then
  r.tries, r.tried = text(tries + 1), turn
  r.later = wait_ms > 0 and text(now_ms() + wait_ms) or nil
  write(record, r)
  return {'open', state, r.tries}
end
if state == 'unknown' or state == 'cancelling' then
  redis.call('PEXPIRE', request, keep_ms)
else
  redis.call('DEL', request)
end
off_queue(queue, entry, id)
return {'removed', state}
