-- What people write by hand: a lease per key, the response stored, duplicates answered from it.
--
-- Kept honest, and kept fast. It does what it must to be compared at all: a lease that only its
-- owner drops, the response stored before it is given out, the payload checked, duplicates of a
-- running request waiting for it. It does less than Onceward does: no order state that outlives the
-- lease (one that runs out is run again), no fence, no renewal, no history, no tokens, no index of
-- what is due, no limits. What it does, it does the fast way: two small scripts, one round trip
-- each, called by hash; a Redis client of a few lines that writes each command as one string; a
-- keepalive pool in each worker for Redis and upstream; MD5 in C for the payload; no JSON.
local M = {}

local LEASE_MS, KEEP_MS, WAIT_S, LOOK_S = '30000', '86400000', 5, 0.05

-- The stored response, or nothing and the lease is ours, or that somebody else has it.
local CLAIM = [[
local stored = redis.call('GET', KEYS[1])
if stored then return stored end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
]]

-- Stores the response and drops the lease, if it is ours still.
local SETTLE = [[
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
]]

local concat, find, sub = table.concat, string.find, string.sub
local SKIP = {['connection'] = true, ['date'] = true, ['content-length'] = true,
  ['transfer-encoding'] = true, ['set-cookie'] = true, ['keep-alive'] = true}

local function read(socket)
  local line, err = socket:receive()
  if not line then return nil, err end
  local kind, rest = sub(line, 1, 1), sub(line, 2)
  if kind == '$' then
    local size = tonumber(rest)
    if size < 0 then return false end
    local text = socket:receive(size + 2)
    return text and sub(text, 1, size)
  elseif kind == ':' then
    return tonumber(rest)
  elseif kind == '-' then
    return nil, rest
  end
  return rest
end

local function command(...)
  local socket = ngx.socket.tcp()
  socket:settimeout(500)
  local ok, err = socket:connect('127.0.0.1', M.redis_port)
  if not ok then return nil, err end
  local words = {...}
  local parts = {'*', #words, '\r\n'}
  for _, word in ipairs(words) do
    local n = #parts
    parts[n + 1], parts[n + 2], parts[n + 3], parts[n + 4], parts[n + 5] =
      '$', #word, '\r\n', word, '\r\n'
  end
  socket:send(parts)
  local reply, why = read(socket)
  socket:setkeepalive(60000, 256)
  return reply, why
end

local shas = {}
local function script(text, ...)
  if not shas[text] then
    shas[text] = command('SCRIPT', 'LOAD', text)
  end
  return command('EVALSHA', shas[text], '2', ...)
end

-- One string: the payload's digest, status, headers a line each, an empty line, the body.
local function packed(digest, response)
  local parts = {digest, tostring(response.status), '\n'}
  for name, value in pairs(response.header) do
    if type(value) == 'string' and not SKIP[string.lower(name)] then
      local n = #parts
      parts[n + 1], parts[n + 2], parts[n + 3], parts[n + 4] = name, ':', value, '\n'
    end
  end
  parts[#parts + 1] = '\n'
  parts[#parts + 1] = response.body
  return concat(parts)
end

local function problem(status, text)
  ngx.status = status
  ngx.print(text)
end

local function replay(digest, stored)
  if sub(stored, 1, 16) ~= digest then return problem(422, 'another payload') end
  ngx.status = tonumber(sub(stored, 17, 19))
  local from = 21
  while true do
    local to = find(stored, '\n', from, true)
    if to == from then break end
    local colon = find(stored, ':', from, true)
    ngx.header[sub(stored, from, colon - 1)] = sub(stored, colon + 1, to - 1)
    from = to + 1
  end
  ngx.header['Idempotent-Replayed'] = 'true'
  ngx.header['Content-Length'] = #stored - from
  ngx.print(sub(stored, from + 1))
end

local METHODS = {POST = ngx.HTTP_POST, PATCH = ngx.HTTP_PATCH}

function M.handle()
  local key, method = ngx.var.http_idempotency_key, METHODS[ngx.req.get_method()]
  if not key or not method then return ngx.exec('@payment') end
  ngx.req.read_body()
  local body = ngx.req.get_body_data() or ''
  local uri = ngx.var.request_uri
  local digest = ngx.md5_bin(concat({ngx.var.http_authorization or '', uri, body}, '\n'))
  local record, lease = 'once:r:' .. key, 'once:l:' .. key
  local owner = ngx.var.request_id
  local until_s = ngx.now() + WAIT_S
  local found, err = script(CLAIM, record, lease, owner, LEASE_MS)
  while found == 0 and ngx.now() < until_s do
    ngx.sleep(LOOK_S)
    ngx.update_time()
    found, err = script(CLAIM, record, lease, owner, LEASE_MS)
  end
  if found == nil then return problem(503, err) end
  if found == 0 then return problem(409, 'in progress') end
  if found ~= 1 then return replay(digest, found) end

  local response = ngx.location.capture('/.upstream' .. uri, {method = method, body = body})
  if response.truncated or response.status >= 500 then
    -- May have happened: the lease is left to run out.
    return problem(502, 'upstream')
  end
  script(SETTLE, record, lease, owner, packed(digest, response), KEEP_MS)
  ngx.status = response.status
  for name, value in pairs(response.header) do
    if name ~= 'Connection' and name ~= 'Transfer-Encoding' then ngx.header[name] = value end
  end
  ngx.header['Content-Length'] = #response.body
  ngx.print(response.body)
end

return M
