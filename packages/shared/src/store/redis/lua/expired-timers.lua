#!lua flags=no-writes
-- Purpose: reads the keys whose timer has expired.
-- KEYS:    due of one partition
-- ARGV:    at most how many
-- Returns: {Unix ms, key, key ...}, the longest expired first
-- include: clock
local timers_key, count = KEYS[1], ARGV[1]

local now_ms = clock_ms()
local found = { now_ms }
for _, key in ipairs(redis.call('ZRANGEBYSCORE', timers_key, '-inf', now_ms, 'LIMIT', 0, count)) do
  found[#found + 1] = key
end
return found
