-- Prepended to every script, below its first line. Words, not decisions.

-- Milliseconds since 1970 by Redis' own clock: one clock judges every lease.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A number as Redis stores it: no exponent, no fraction.
local function text(n)
  return string.format('%.0f', n)
end

-- The history with one transition more, at most HISTORY_BYTES long: the oldest lines go first.
-- A line is `at from to by why`; only why may hold spaces.
local HISTORY_BYTES = 2048
local function noted(history, at, from, to, by, why)
  local line = text(at) .. ' ' .. from .. ' ' .. to .. ' ' .. by .. ' ' .. why .. '\n'
  local all = (history or '') .. line
  while #all > HISTORY_BYTES do
    local first = string.find(all, '\n', 1, true)
    if not first or first == #all then break end
    all = string.sub(all, first + 1)
  end
  return all
end

-- An order of unknown outcome is due when it should be asked about; where nobody can be asked (the
-- field `ask` of its record, ms, is 0 or missing) it is held.
local function ask_later(due, id, now, ask)
  if tonumber(ask or 0) > 0 then
    redis.call('ZADD', due, text(now + tonumber(ask)), id)
  end
end

-- Whether a comma-separated list holds a word.
local function holds(list, word)
  return string.find(',' .. list .. ',', ',' .. word .. ',', 1, true) ~= nil
end

-- A comma-separated list of equally long words with one more, the newest first: at most 32.
local LIST_WORDS = 32
local function with(list, word)
  if not list or list == '' then return word end
  return string.sub(word .. ',' .. list, 1, LIST_WORDS * (#word + 1) - 1)
end

-- The consumer group of every queue.
local WORKERS = 'workers'

-- Takes an entry off a queue, if it is that order's still: a stream that was emptied begins anew,
-- and may give a name again that somebody remembers. The last entry takes the stream along.
local function off_queue(queue, entry, id)
  local found = redis.call('XRANGE', queue, entry, entry)[1]
  if not found or found[2][2] ~= id then return end
  redis.call('XACK', queue, WORKERS, entry)
  redis.call('XDEL', queue, entry)
  if redis.call('XLEN', queue) == 0 then redis.call('DEL', queue) end
end

-- Whether a token that its order's record does not know yet may start that order: issued for it,
-- to this caller, and not spent; or free, bound to it elsewhere until `token_until`.
local function may_start(token, token_until, callers, id)
  local t = redis.call('HMGET', token, 'caller', 'order', 'spent')
  if t[1] then
    return holds(callers, t[1]) and t[2] == id and not t[3]
  end
  -- Past its time the mark that it was spent would vanish as soon as it is made.
  return token_until > now_ms()
end
