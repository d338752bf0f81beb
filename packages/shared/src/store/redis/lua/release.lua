#!lua flags=allow-oom
-- Purpose: releases a lease that the caller still holds.
-- KEYS:    lease of one partition
-- ARGV:    token
-- Returns: 1 when the caller held it, else 0
local lease_key, token = KEYS[1], ARGV[1]

if redis.call('GET', lease_key) ~= token then return 0 end
return redis.call('DEL', lease_key)
