#!lua flags=allow-oom
-- Purpose: extends a lease that the caller still holds.
-- KEYS:    lease of one partition
-- ARGV:    token, time to live in ms
-- Returns: 1 when the caller holds it, else 0
local lease_key, token, ttl_ms = KEYS[1], ARGV[1], ARGV[2]

if redis.call('GET', lease_key) ~= token then return 0 end
redis.call('PEXPIRE', lease_key, ttl_ms)
return 1
