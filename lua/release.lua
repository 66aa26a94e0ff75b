#!lua flags=allow-oom
-- release: let an order of unknown outcome run again, because upstream says there is no such order
-- or an operator does.
--
-- It stands in none until the next duplicate claims it under a higher fence; one that was accepted into
-- the buffer stands in the queue again, for nobody will send it once more. Until then it stays bound to
-- its request, and an outcome that is told of it after all is still taken.
--
-- KEYS record lease due unknown request queue lifecycle
-- The last is left out for an order without one.
--
-- ARGV
--   id
--   turn     names this call; a copy of it gets the same answer
--   fence    the fence the word is about, or empty for any
--   from     states none may be entered from, comma-separated (the transition table is Rust's)
--   keep_ms  how long the record is kept from now
--   channel  where it is announced to those who wait
--   by
--   why
--   hint       channel that wakes workers
--   partition  its number, as it is told there
--   letters    yes: one that was a dead letter is queued again as well
--
-- Replies
--   released       it may run again, or an earlier copy of this call let it
--   again          so it might before, by another call; nothing was written
--   fenced fence   another attempt has begun, under this fence; nothing was written
--   dead           it was a dead letter; nothing was written
--   refused state  it is not of unknown outcome; nothing was written
--   gone           there is no such record
local record, lease, due, unknown, request = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local queue, lifecycle = KEYS[6], KEYS[7]
local id, turn, fence, from, keep_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local channel, by, why, hint, partition = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local letters = ARGV[11]

local r = read(record)
if not r.state then
  return {'gone'}
end
-- Whatever became of it since: the permission was given.
if r.turn == turn then
  return {'released'}
end
if fence ~= '' and (r.fence or '0') ~= fence then
  return {'fenced', r.fence or '0'}
end
if r.released and (r.state == 'none' or r.state == 'queued') then
  return {'again'}
end
-- One in flight goes back to none only through its own attempt; a lease means that it runs.
if r.state == 'in_flight' or not holds(from, r.state) or redis.call('EXISTS', lease) == 1 then
  return {'refused', r.state}
end
if r.dead and letters ~= 'yes' then
  return {'dead'}
end

local now, waited = now_ms(), r.waited
local back = redis.call('EXISTS', request) == 1 and 'queued' or 'none'
follow(lifecycle, opened(r.asked).move, id, back, now)
r.history = noted(r.history, now, r.state, back, by, why)
r.state, r.released, r.updated, r.waited = back, r.attempt or '-', text(now), nil
r.answered, r.lapsed, r.turn, r.tries, r.tried, r.dead = nil, nil, turn, nil, nil, nil
r.later = nil
write(record, r, keep_ms)
if back == 'queued' then
  -- What was accepted is not forgotten.
  redis.call('PERSIST', record)
  redis.call('PERSIST', request)
  on_queue(queue, id, hint, partition)
end
redis.call('ZREM', due, id)
redis.call('ZREM', unknown, id)
if waited then redis.call('PUBLISH', channel, id) end
return {'released'}
