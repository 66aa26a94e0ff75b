-- Put into every script, before the first paragraph that speaks of one: those of these parts, divided by
-- empty lines, that it needs. Words, not decisions.

-- Milliseconds since 1970 by Redis' own clock: one clock judges every lease.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A whole number as Redis stores it, without an exponent. A command given a number instead has it
-- printed with 17 digits, which takes its time.
local function text(n)
  return string.format('%d', n)
end

-- The first of a comma-separated list.
local function first(list)
  local comma = string.find(list, ',', 1, true)
  return comma and string.sub(list, 1, comma - 1) or list
end

-- An order's record is one text: a step reads it at once, and writes it at once with the time it is
-- kept for. Measured against a hash of three parts: half the time, and less memory.
--
--   3 fingerprint state answer fence attempt attempts from asks created token updated name=value ...
--   at from to by why
--   ...
--   asked 57
--   ............. and here what was answered
--
-- The first line says where the order stands, `-` where there is nothing to say. `answer` is `done`
-- where a duplicate may be answered from the record as it is, `kept` where an answer is kept that is
-- not the last word, `open` where there is none. The rare words have a name: settled told paid
-- astray waited void released lapsed turn tries tried later dead. Then its history, the newest line
-- first; then what was asked, so many bytes, packed by the sidecar: route key scope caller ask move
-- trace; then what was answered, as the sidecar keeps it, no script looks into it: `no` where it ended
-- without an answer.
local FORMAT = '3'

-- A part of what was asked, packed; and the other way round. Nothing is in one that is not there.
local function packed(asked)
  local bytes = cmsgpack.pack(asked)
  return 'asked ' .. #bytes .. '\n' .. bytes
end

local function opened(asked)
  local at = asked and string.find(asked, '\n', 1, true)
  return at and at < #asked and cmsgpack.unpack(string.sub(asked, at + 1)) or {}
end

local function of_later(format)
  error({err = 'FORMAT ' .. string.sub(format, 1, 20) .. ' of a record is of a later release'})
end

-- A record of format 1, a hash with a field for each word, or of format 2, a hash of three parts.
local function of_earlier(record)
  local r, asked, was, all = {}, {}, {}, redis.call('HGETALL', record)
  for i = 1, #all, 2 do was[all[i]] = all[i + 1] end
  if was.stands then
    r = cmsgpack.unpack(was.stands)
    if r.v ~= '2' then of_later(tostring(r.v)) end
    asked, r.answered = was.asked and cmsgpack.unpack(was.asked) or {}, was.answered
  elseif was.state then
    local headers = was.headers or ''
    if was.stored == 'large' then was.answered = 'large ' .. was.status end
    if was.stored == 'no' then was.answered = 'no' end
    if was.stored == 'yes' then
      was.answered = 'yes ' .. was.status .. ' ' .. #headers .. '\n' .. headers .. (was.body or '')
    end
    for word in string.gmatch('route key scope fingerprint caller ask move', '%a+') do
      asked[word], was[word] = was[word], nil
    end
    was.stored, was.status, was.headers, was.body = nil, nil, nil, nil
    r = was
  else
    return r
  end
  r.v, r.fingerprint, asked.fingerprint = nil, asked.fingerprint, nil
  local lines = ''
  for line in string.gmatch(r.history or '', '[^\n]*\n') do lines = line .. lines end
  r.history, r.asked = lines, packed(asked)
  return r
end

-- What a record says, by word, with its history, and what was asked and answered, as they are; an
-- empty table without a record. `raw` is its text, where it was read already. A format of a later
-- release is not guessed at: the script ends here, with nothing written.
local function read(record, raw)
  if raw == nil then raw = redis.pcall('GET', record) end
  if not raw then return {} end
  if type(raw) == 'table' then
    if not string.find(raw.err, 'WRONGTYPE', 1, true) then error(raw) end
    return of_earlier(record)
  end
  local fingerprint, state, fence, attempt, attempts, from, asks, created, token, updated, at =
    string.match(raw, '^3 (%S+) (%S+) %S+ (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)()')
  local ends = at and string.find(raw, '\n', at, true)
  local asked_at, _, length, bytes_at = string.find(raw, '\nasked (%d+)\n()', ends)
  if not ends or not asked_at then of_later(string.match(raw, '^%S*')) end
  local r = {fingerprint = fingerprint, state = state, fence = fence, attempt = attempt,
    attempts = attempts, from = from, asks = asks, created = created, token = token,
    updated = updated}
  for name, value in pairs(r) do
    if value == '-' then r[name] = nil end
  end
  if ends > at then
    for name, value in string.gmatch(string.sub(raw, at, ends), '(%l+)=(%S+)') do r[name] = value end
  end
  local answered_at = bytes_at + length
  r.history = string.sub(raw, ends + 1, asked_at)
  r.asked = string.sub(raw, asked_at + 1, answered_at - 1)
  if answered_at <= #raw then r.answered = string.sub(raw, answered_at) end
  return r
end

-- Writes what a record says; it is kept for keep_ms from now, or for as long as it was to be.
local function write(record, r, keep_ms)
  local answer = r.answered and 'kept' or 'open'
  if (r.state == 'succeeded' or r.state == 'failed') and (r.answered or r.settled) and not r.waited then
    answer = 'done'
  end
  local token = r.token ~= '' and r.token or '-'
  local line = table.concat({FORMAT, r.fingerprint or '-', r.state or '-', answer, r.fence or '-',
    r.attempt or '-', r.attempts or '-', r.from or '-', r.asks or '-', r.created or '-', token,
    r.updated or '-'}, ' ')
  local rare = 'settled told paid astray waited void released lapsed turn tries tried later dead'
  for name in string.gmatch(rare, '%a+') do
    if r[name] then line = line .. ' ' .. name .. '=' .. r[name] end
  end
  local all = line .. '\n' .. (r.history or '') .. (r.asked or 'asked 0\n') .. (r.answered or '')
  if keep_ms then
    redis.call('SET', record, all, 'PX', keep_ms)
  else
    redis.call('SET', record, all, 'KEEPTTL')
  end
end

-- The history with one transition more, at most HISTORY_BYTES long: the oldest lines go first.
-- A line is `at from to by why`; only why may hold spaces.
local HISTORY_BYTES = 2048
local function noted(history, at, from, to, by, why)
  local line = text(at) .. ' ' .. from .. ' ' .. to .. ' ' .. by .. ' ' .. why .. '\n'
  local all = line .. (history or '')
  if #all <= HISTORY_BYTES then return all end
  local fits = string.match(string.sub(all, 1, HISTORY_BYTES), '^.*\n')
  return fits or line
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
  return list == word or string.find(',' .. list .. ',', ',' .. word .. ',', 1, true) ~= nil
end

-- A comma-separated list of equally long words with one more, the newest first: at most 32.
local LIST_WORDS = 32
local function with(list, word)
  if not list or list == '' then return word end
  return string.sub(word .. ',' .. list, 1, LIST_WORDS * (#word + 1) - 1)
end

-- The consumer group of every queue.
local WORKERS = 'workers'

-- Puts an order on a queue, and wakes workers.
local function on_queue(queue, id, hint, partition)
  if redis.call('EXISTS', queue) == 0 then
    redis.call('XGROUP', 'CREATE', queue, WORKERS, '0', 'MKSTREAM')
  end
  redis.call('XADD', queue, '*', 'id', id)
  redis.call('PUBLISH', hint, partition)
end

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

-- Spends a token that may start its order, whose tokens are those returned from then on.
local function spend(token, token_until, callers, id, attempt, tokens, hash)
  redis.call('HSET', token, 'caller', first(callers), 'order', id, 'spent', attempt)
  if token_until > 0 then redis.call('PEXPIREAT', token, token_until) end
  return with(tokens, hash)
end

-- A lifecycle is one state for all orders of a number, and which of them moves it, until when. An
-- order's `move` is what its route says, kept in its record as it was claimed: `start from to keep_ms
-- hold_ms`. The key is missing for an order without one, its `move` too.

-- Callbacks and lifecycles are of format 1, or not there yet. One of a later release is not guessed at:
-- the script ends here, with nothing written.
local function known(format, what)
  if format and format ~= '1' then
    error({err = 'FORMAT ' .. format .. ' of a ' .. what .. ' is of a later release'})
  end
end

-- Where a lifecycle stands, and the order that moves it; one that was not heard of for too long
-- does not count.
local function standing(lifecycle, start, now)
  local l = redis.call('HMGET', lifecycle, 'state', 'mover', 'until', 'v')
  known(l[4], 'lifecycle')
  local mover = l[2] and tonumber(l[3]) > now and l[2]
  return l[1] or start, mover
end

-- What bars an order from its move: `moving` while another order makes one, `illegal` where the
-- state is not one it starts from; and that state.
local function barred(lifecycle, move, id)
  if not lifecycle then return nil end
  local start, from = string.match(move, '(%S+) (%S+)')
  local state, mover = standing(lifecycle, start, now_ms())
  if mover and mover ~= id then return 'moving', state end
  if not holds(from, state) then return 'illegal', state end
end

-- From now on the lifecycle is this order's to move.
local function begin(lifecycle, move, id, now)
  local start, keep, hold = string.match(move, '(%S+) %S+ %S+ (%d+) (%d+)')
  local state = standing(lifecycle, start, now)
  redis.call('HSET', lifecycle, 'v', '1', 'state', state, 'mover', id, 'until', text(now + hold),
    'updated', text(now))
  redis.call('PEXPIRE', lifecycle, text(hold + keep))
end

-- The lifecycle follows its order to where that stands from now on: it is moved by a success, the
-- order's alone while its outcome is open, and free when it ended otherwise. Returns the state in
-- which a success found it that came too late to move it.
local function follow(lifecycle, move, id, to, now)
  if not lifecycle or not move then return nil end
  local start, from, goal, keep = string.match(move, '(%S+) (%S+) (%S+) (%d+)')
  local state, mover = standing(lifecycle, start, now)
  -- Released, it may have given up its move and tell of itself after all.
  local mine = mover == id or (not mover and holds(from, state))
  if to == 'succeeded' then
    if not mine then return state end
    state = goal
  elseif to ~= 'none' and to ~= 'failed' and to ~= 'cancelled' then
    if mine then begin(lifecycle, move, id, now) end
    return nil
  elseif mover ~= id then
    return nil
  end
  redis.call('HSET', lifecycle, 'v', '1', 'state', state, 'updated', text(now))
  redis.call('HDEL', lifecycle, 'mover', 'until')
  redis.call('PEXPIRE', lifecycle, keep)
end

-- Where a word about an order meets it. One that may run again and has not begun to is as open to
-- whatever is told of it as it was while unknown.
local function met(r)
  if r.released and (r.state == 'none' or r.state == 'queued') then return 'unknown' end
  return r.state or 'none'
end

-- That an order was paid which is being cancelled does not end it: its cancel call decides. But it is
-- kept, and a cancel call that knows no such order is not believed then.
local function keep_paid(record, r, by, why)
  if r.paid then return end
  local now = now_ms()
  r.history = noted(r.history, now, r.state, r.state, by, 'it was paid: ' .. why)
  r.paid, r.updated = '1', text(now)
  write(record, r)
end

-- Why, with what is to be said of a lifecycle that could not follow.
local function telling(why, astray)
  return astray and why .. '; its lifecycle was not moved, it is ' .. astray or why
end

-- For how much longer, in ms, an attempt holds its lease whose order ended on somebody else's word:
-- its response is still to come, and is what every duplicate is to get. Nothing where none is.
local function unfinished(lease, state, answered, settled)
  if (state ~= 'succeeded' and state ~= 'failed') or answered or settled then return nil end
  local held = redis.call('PTTL', lease)
  return held >= 0 and held or nil
end
