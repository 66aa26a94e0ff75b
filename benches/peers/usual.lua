-- The same job as it is usually written: with the Redis client and the JSON that everybody takes.
--
-- once.lua beside it is written for speed. This is what one writes who knows the trade and has other
-- things to do: a GET of the stored response, else `SET NX PX` for a lease, the well-known script that
-- drops it, a record in JSON.
--
-- Kept as honest as the other: a lease that only its owner drops, the record looked at again once the
-- lease is had, the response stored before it is given out and never replaced, the payload checked,
-- duplicates of a running request waiting for it. Nor is it held back: connections are kept, and not
-- kept waiting while upstream works; what can be sent in one write is, so a first request is five
-- commands in three round trips and a duplicate one command; the script is called by its hash. It
-- leaves out what once.lua leaves out: no order state that outlives the lease (one that runs out is
-- run again), no fence, no renewal, no history, no tokens, no index of what is due, no limits.
local redis = require 'nginx.redis' -- what Debian calls resty.redis
local cjson = require 'cjson'

local M = {}

local LEASE_MS, KEEP_MS, WAIT_S, LOOK_S = 30000, 86400000, 5, 0.05
local TIMEOUT_MS, IDLE_MS, POOL = 500, 60000, 256

-- Drops the lease if it is ours, and if there is something to find behind it: a response that Redis
-- had no room for must not free its order.
local RELEASE = [[
if redis.call('get', KEYS[1]) == ARGV[1] and redis.call('exists', KEYS[2]) == 1 then
  return redis.call('del', KEYS[1])
end
return 0
]]
local RELEASE_SHA = ngx.sha1_bin(RELEASE):gsub('.', function(letter)
  return ('%02x'):format(letter:byte())
end)

local SKIP = {['connection'] = true, ['date'] = true, ['content-length'] = true,
  ['transfer-encoding'] = true, ['set-cookie'] = true, ['keep-alive'] = true}

-- Takes one step on a connection of the pool. What a step returns is what Redis said, or nil and why
-- nobody knows what it did.
local function asked(step, ...)
  local red = redis:new()
  red:set_timeout(TIMEOUT_MS)
  local ok, err = red:connect('127.0.0.1', M.redis_port)
  if not ok then return nil, err end
  local found, why = step(red, ...)
  if found == nil then
    red:close()
  else
    red:set_keepalive(IDLE_MS, POOL)
  end
  return found, why
end

-- Commands that were sent in one write, or nil and what was wrong with one of them.
local function replies(red)
  local all, err = red:commit_pipeline()
  if not all then return nil, err end
  for _, reply in ipairs(all) do
    if type(reply) == 'table' then return nil, reply[2] end
  end
  return all
end

-- The stored response, or true: the lease is ours, or false: somebody else has it. The record is read
-- after the lease was asked for: whoever had it may have finished since we looked.
local function claim(red, order)
  red:init_pipeline(2)
  red:set(order.lease, order.owner, 'NX', 'PX', LEASE_MS)
  red:get(order.record)
  local got, err = replies(red)
  if not got then return nil, err end
  local is_ours, stored = got[1] == 'OK', got[2]
  if stored == ngx.null then return is_ours end
  if is_ours then red:eval(RELEASE, 2, order.lease, order.record, order.owner) end
  return stored
end

-- Likewise; most of those that were sent before are finished.
local function look(red, order)
  local stored, err = red:get(order.record)
  if not stored then return nil, err end
  if stored == ngx.null then return claim(red, order) end
  return stored
end

-- Stores the response and drops the lease: true, or another's response that was stored before ours
-- because our lease had run out.
local function settle(red, order, response)
  red:init_pipeline(2)
  red:set(order.record, response, 'NX', 'PX', KEEP_MS)
  red:evalsha(RELEASE_SHA, 2, order.lease, order.record, order.owner)
  local got, err = red:commit_pipeline()
  if not got then return nil, err end
  local stored, released = got[1], got[2]
  if type(released) == 'table' then
    -- Redis does not know the script yet, or any more: sent once in full it does.
    red:eval(RELEASE, 2, order.lease, order.record, order.owner)
  end
  if stored == 'OK' then return true end
  if type(stored) == 'table' then return nil, stored[2] end
  local theirs, why = red:get(order.record)
  if type(theirs) ~= 'string' then return nil, why end
  return theirs
end

-- LuaJIT compiles the client's commands of many words into what it leaves again at its first check,
-- each time, and tries anew: these two are a third faster without it.
jit.off(claim)
jit.off(settle)

local function problem(status, text)
  ngx.status = status
  ngx.print(text)
end

local function answer(response)
  ngx.status = response.status
  for name, value in pairs(response.headers) do ngx.header[name] = value end
  ngx.header['Content-Length'] = #response.body
  ngx.print(response.body)
end

local function replay(stored, digest)
  local response = cjson.decode(stored)
  if response.digest ~= digest then return problem(422, 'another payload') end
  ngx.header['Idempotent-Replayed'] = 'true'
  answer(response)
end

local METHODS = {POST = ngx.HTTP_POST, PATCH = ngx.HTTP_PATCH}

function M.handle()
  local key, method = ngx.var.http_idempotency_key, ngx.req.get_method()
  if not key or not METHODS[method] then return ngx.exec('@payment') end
  ngx.req.read_body()
  local body, uri = ngx.req.get_body_data() or '', ngx.var.request_uri
  local caller = ngx.var.http_authorization or ''
  local digest = ngx.md5(table.concat({method, caller, uri, body}, '\n'))
  local order = {record = 'usual:response:' .. key, lease = 'usual:lease:' .. key,
    owner = ngx.var.request_id}

  local until_s = ngx.now() + WAIT_S
  local found, err = asked(look, order)
  while found == false and ngx.now() < until_s do
    ngx.sleep(LOOK_S)
    found, err = asked(claim, order)
  end
  if found == nil then return problem(503, err) end
  if found == false then return problem(409, 'in progress') end
  if found ~= true then return replay(found, digest) end

  local sent = ngx.location.capture('/.upstream' .. uri, {method = METHODS[method], body = body})
  if sent.truncated or sent.status >= 500 then
    -- May have happened: the lease is left to run out.
    return problem(502, 'upstream')
  end
  local headers = {}
  for name, value in pairs(sent.header) do
    if not SKIP[name:lower()] then headers[name] = value end
  end
  local response = {digest = digest, status = sent.status, headers = headers, body = sent.body}
  local stored, why = asked(settle, order, cjson.encode(response))
  if stored == nil then
    -- It was paid, and whoever asked is told so; the lease is left to run out.
    ngx.log(ngx.ERR, 'not stored: ', why)
  elseif stored ~= true then
    return replay(stored, digest)
  end
  local cookies = sent.header['Set-Cookie']
  if cookies then ngx.header['Set-Cookie'] = cookies end
  answer(response)
end

return M
