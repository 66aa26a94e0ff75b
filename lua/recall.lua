#!lua flags=allow-oom
-- recall: whether this server remembers all that was acknowledged in one partition.
--
-- The mark names the server that was seen last: its process and its replication history. Another
-- one (promoted, restarted, moved to) may lack what that one had acknowledged, and one without a
-- mark lacks all of it: for a while from now on, orders are to be asked about before they are sent.
-- The mark holds the end of that while, so that every replica learns of it.
--
-- It also holds since when the server before it is gone, if anybody knew one: what was acknowledged
-- there was sent before then. An empty server that nobody remembers otherwise is a beginning.
--
-- KEYS history
--
-- ARGV
--   window_ms  how long orders are asked about first
--   seen       the server that the caller saw last in this partition, or empty
--   by
--
-- Replies
--   remembers left_ms gone_ms server
--       it is the one that was seen last; for how long orders are still to be asked about, 0 when
--       they are not; for how long the one before it is known to be gone, empty when nobody knew one
--   forgot left_ms gone_ms server
--       likewise, but it is another or an empty one, and the while begins now
local history = KEYS[1]
local window_ms, seen, by = tonumber(ARGV[1]), ARGV[2], ARGV[3]

local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local replication = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local server = (run or '-') .. ' ' .. (replication or '-')
local now = now_ms()

local h = redis.call('HMGET', history, 'server', 'until', 'gone')
local gone = h[3] or ''
-- Whoever found it empty and knew of nobody may have come before one who did.
local told_of = seen ~= '' and seen ~= server and gone == ''
if h[1] == server and not told_of then
  local left = math.max(tonumber(h[2]) - now, 0)
  return {'remembers', text(left), gone ~= '' and text(math.max(now - gone, 0)) or '', server}
end
gone = (h[1] or told_of) and text(now) or ''
redis.call('HSET', history, 'v', '1', 'server', server, 'until', text(now + window_ms),
  'gone', gone, 'by', by)
return {'forgot', text(window_ms), gone ~= '' and '0' or '', server}
