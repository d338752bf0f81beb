#!lua flags=allow-oom
-- Purpose: prolongs a lease that is still ours.
-- KEYS:    lease of one partition
-- ARGV:    token, time to live in ms
-- Returns: 1 when it is ours, else 0
local lease_key = KEYS[1]
local token, ttl_ms = ARGV[1], ARGV[2]

if redis.call('GET', lease_key) ~= token then return 0 end
redis.call('PEXPIRE', lease_key, ttl_ms)
return 1
