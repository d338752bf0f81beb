#!lua
-- Purpose: remembers what a client's request asks for, so that the same name with another content is found out whatever
--          partitions the two contents touch. Refused at the memory limit, as what follows it would be.
-- KEYS:    requests, request_times of the partition that the request's name falls to
-- ARGV:    the name among requests, digest of the content, how long it is remembered in ms, how many are remembered at most
-- Returns: {'new'} or {'repeat'} or {'conflict'} or {'limit-reached', ms until there is room}
local requests_key, times_key = KEYS[1], KEYS[2]
local request, content, ttl_ms, requests_max = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- Before the first write: a key of another type fails here, and a script has no way back.
local known = redis.call('HGET', requests_key, request)
local forget_at = tonumber(redis.call('ZSCORE', times_key, request) or '0')
local is_known = known and forget_at > now_ms
if is_known and known ~= content then return { 'conflict' } end

-- A few at a time: each new one takes the place of at most one, so they cannot pile up.
local old = redis.call('ZRANGE', times_key, '-inf', string.format('%.0f', now_ms), 'BYSCORE', 'LIMIT', 0, 10)
if old[1] then
  redis.call('HDEL', requests_key, unpack(old))
  redis.call('ZREM', times_key, unpack(old))
end

if not is_known and redis.call('ZCARD', times_key) >= requests_max then
  local first = redis.call('ZRANGE', times_key, 0, 0, 'WITHSCORES')[2]
  return { 'limit-reached', tonumber(first) - now_ms }
end

redis.call('HSET', requests_key, request, content)
redis.call('ZADD', times_key, string.format('%.0f', now_ms + ttl_ms), request)
local last = redis.call('ZRANGE', times_key, -1, -1, 'WITHSCORES')[2]
redis.call('PEXPIREAT', requests_key, last)
redis.call('PEXPIREAT', times_key, last)
return { is_known and 'repeat' or 'new' }
