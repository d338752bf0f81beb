-- Requests are remembered for a time after their last use: `requests_key` is a hash of what is
-- remembered, `times_key` a sorted set of when each request expires.

-- Ten at a time: each new request replaces at most one, so expired ones cannot pile up.
local function forget_expired(requests_key, times_key, now_ms)
  local expired = redis.call('ZRANGE', times_key, '-inf', string.format('%.0f', now_ms), 'BYSCORE', 'LIMIT', 0, 10)
  if expired[1] then
    redis.call('HDEL', requests_key, unpack(expired))
    redis.call('ZREM', times_key, unpack(expired))
  end
end

local function remember(requests_key, times_key, request, value, expires_at)
  redis.call('HSET', requests_key, request, value)
  redis.call('ZADD', times_key, string.format('%.0f', expires_at), request)
  local last = redis.call('ZRANGE', times_key, -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIREAT', requests_key, last)
  redis.call('PEXPIREAT', times_key, last)
end

-- Returns nil when there is room for one more request.
local function ms_until_room(times_key, requests_max, now_ms)
  if redis.call('ZCARD', times_key) < requests_max then return nil end
  local first = redis.call('ZRANGE', times_key, 0, 0, 'WITHSCORES')[2]
  return tonumber(first) - now_ms
end
