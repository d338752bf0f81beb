#!lua flags=no-writes
-- Purpose: reads the keys whose timer has expired, and when the first of all timers does.
-- KEYS:    due of one partition
-- ARGV:    at most how many
-- Returns: {Unix ms, when the first timer expires or expired in Unix ms or '', key, key ...}, the
--          longest expired first
-- include: clock
local timers_key, count = KEYS[1], ARGV[1]

local now_ms = clock_ms()
local first = redis.call('ZRANGE', timers_key, 0, 0, 'WITHSCORES')
local found = { now_ms, first[2] or '' }
if not first[2] or tonumber(first[2]) > now_ms then return found end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', timers_key, '-inf', now_ms, 'LIMIT', 0, count)) do
  found[#found + 1] = key
end
return found
