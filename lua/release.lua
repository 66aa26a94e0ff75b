#!lua flags=allow-oom
-- release: let an order of unknown outcome run again, because upstream says there is no such order
-- or an operator does.
--
-- It stands in none until the next duplicate claims it under a higher fence; until then it stays
-- bound to its request, and an outcome its attempt tells after all is still taken.
--
-- KEYS record lease due unknown lifecycle
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
--
-- Replies
--   released       the next duplicate may run it, or an earlier copy of this call let it
--   again          so it might before, by another call; nothing was written
--   fenced fence   another attempt has begun, under this fence; nothing was written
--   refused state  it is not of unknown outcome; nothing was written
--   gone           there is no such record
local record, lease, due, unknown = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lifecycle = KEYS[5]
local id, turn, fence, from, keep_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local channel, by, why = ARGV[6], ARGV[7], ARGV[8]

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
if r.state == 'none' and r.released then
  return {'again'}
end
-- One in flight goes back to none only through its own attempt; a lease means that it runs.
if r.state == 'in_flight' or not holds(from, r.state) or redis.call('EXISTS', lease) == 1 then
  return {'refused', r.state}
end

local now, waited = now_ms(), r.waited
follow(lifecycle, opened(r.asked).move, id, 'none', now)
r.history = noted(r.history, now, r.state, 'none', by, why)
r.state, r.released, r.updated, r.waited = 'none', r.attempt or '-', text(now), nil
r.answered, r.turn = nil, turn
write(record, r, keep_ms)
redis.call('ZREM', due, id)
redis.call('ZREM', unknown, id)
if waited then redis.call('PUBLISH', channel, id) end
return {'released'}
