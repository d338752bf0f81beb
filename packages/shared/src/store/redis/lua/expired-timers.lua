#!lua
-- Purpose: tells which keys have something due though no sample comes.
-- KEYS:    due of one partition
-- ARGV:    at most how many
-- Returns: {Unix ms, key, key ...}, the longest due first
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = { now }
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  found[#found + 1] = key
end
return found
