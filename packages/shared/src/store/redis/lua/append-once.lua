#!lua
-- Purpose: appends one entry as append.lua does, unless the same request did so before: then tells the entry of that time.
--          What is remembered and what is appended change together, so a request whose answer was lost can be sent again.
--          Refused by Redis as a whole when memory is at its limit: there is no allow-oom flag here on purpose.
-- KEYS:    samples, accepted, checkpoint, requests, request_times of one partition
-- ARGV:    the samples as JSON, how many they are, the backlog's limit in samples, a random text,
--          the request's name among requests, how long it is remembered in ms, how many are remembered at most,
--          traceparents where there are some
-- Returns: {'stored', entry id} or {'known', entry id} or {'backlog-full', backlog in samples} or {'limit-reached', ms until there is room}
local samples_key, accepted_key, checkpoint_key, requests_key, times_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local samples, count, backlog_max, nonce = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local request, ttl_ms, requests_max, traces = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- Before the first write: a key of another type fails here, and a script has no way back.
local known = redis.call('HGET', requests_key, request)
local forget_at = tonumber(redis.call('ZSCORE', times_key, request) or '0')

-- A few at a time: each new one takes the place of at most one, so they cannot pile up.
local old = redis.call('ZRANGE', times_key, '-inf', string.format('%.0f', now_ms), 'BYSCORE', 'LIMIT', 0, 10)
if old[1] then
  redis.call('HDEL', requests_key, unpack(old))
  redis.call('ZREM', times_key, unpack(old))
end

local function remember(id)
  redis.call('HSET', requests_key, request, id)
  redis.call('ZADD', times_key, string.format('%.0f', now_ms + ttl_ms), request)
  local last = redis.call('ZRANGE', times_key, -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIREAT', requests_key, last)
  redis.call('PEXPIREAT', times_key, last)
end

if known and forget_at > now_ms then
  remember(known)
  return { 'known', known }
end

if redis.call('ZCARD', times_key) >= requests_max then
  local first = redis.call('ZRANGE', times_key, 0, 0, 'WITHSCORES')[2]
  return { 'limit-reached', tonumber(first) - now_ms }
end

-- Kept as the string that Redis stores: the entry's offset must not pass through a float's formatting.
local accepted = redis.call('GET', accepted_key) or '0'
local applied = redis.call('HGET', checkpoint_key, 'offset') or '0'
local backlog = tonumber(accepted) - tonumber(applied)
if backlog >= backlog_max then return { 'backlog-full', backlog } end

local id
if traces then
  id = redis.call('XADD', samples_key, '*', 's', samples, 'n', count, 'o', accepted, 'r', nonce, 't', traces)
else
  id = redis.call('XADD', samples_key, '*', 's', samples, 'n', count, 'o', accepted, 'r', nonce)
end
redis.call('INCRBY', accepted_key, count)
remember(id)
return { 'stored', id }
