#!lua flags=allow-oom
-- Purpose: releases a lease that the caller still holds.
-- KEYS:    lease, owner_changes of one partition
-- ARGV:    token, owner, owner changes to keep
-- Returns: 1 when the caller held it, else 0
local lease_key, changes_key = KEYS[1], KEYS[2]
local token, owner, changes_max = ARGV[1], ARGV[2], ARGV[3]

if redis.call('GET', lease_key) ~= token then return 0 end
redis.pcall('XADD', changes_key, 'MAXLEN', changes_max, '*', 'e', 'released', 'o', owner)
return redis.call('DEL', lease_key)
