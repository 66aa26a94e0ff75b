-- The load: one request after another of one kind. Arguments: the kind, a word that makes this
-- run's order numbers unlike any other's, and how many orders stand finished already.
local threads = 0

function setup(thread)
  thread:set('thread_number', threads)
  threads = threads + 1
end

-- A payment that is sent again was sent so many requests ago: long enough to be finished.
local AGO = 1000

local sent, kind, run, finished, head, middle, tail, plain, large = 0

function init(args)
  kind, run, finished = args[1], args[2], tonumber(args[3])
  local body = '{"orderId":"%s","amount":1999,"currency":"CNY","authCode":"134567890123456789"}'
  local before, after = body:match('^(.*)%%s(.*)$')
  head = 'POST /order/pay HTTP/1.1\r\nHost: pay.example\r\nUser-Agent: bench\r\n'
    .. 'Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n'
    .. 'Content-Type: application/json\r\nContent-Length: ' .. #before + 20 + #after
    .. '\r\nIdempotency-Key: '
  middle, tail = '\r\n\r\n' .. before, after
  plain = 'GET /order/get_result?orderId=1 HTTP/1.1\r\nHost: pay.example\r\nUser-Agent: bench\r\n'
    .. 'Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n'
  large = 'POST /upload HTTP/1.1\r\nHost: pay.example\r\nContent-Type: application/octet-stream\r\n'
    .. 'Content-Length: 1048576\r\n\r\n' .. string.rep('x', 1048576)
end

-- An order number of 20 characters.
local function number(series, n)
  return string.format('%6s-%02d-%010d', run, series, n)
end

local function pay(key)
  return head .. key .. middle .. key .. tail
end

function request()
  sent = sent + 1
  if kind == 'first' then
    return pay(number(thread_number, sent))
  elseif kind == 'duplicate' then
    -- The series that `Prime` of the bench paid before.
    return pay(number(99, sent % finished))
  elseif kind == 'mixed' then
    local again = sent % 10 == 0 and sent > AGO
    return pay(number(thread_number, again and sent - AGO + 1 or sent))
  elseif kind == 'pass' then
    return plain
  elseif kind == 'large' then
    return large
  end
  error('no such kind: ' .. tostring(kind))
end
