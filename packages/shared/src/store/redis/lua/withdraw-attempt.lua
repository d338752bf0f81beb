#!lua flags=allow-oom
-- Purpose: subtracts one from an attempt that did not crash its owner: a count, so without a lease.
-- KEYS:    checkpoint of one partition
-- ARGV:    the attempt as 'id count', what replaces it
-- Returns: 1 when it was still the recorded one, else 0
local checkpoint_key, attempt, replacement = KEYS[1], ARGV[1], ARGV[2]

if redis.call('HGET', checkpoint_key, 'attempt') ~= attempt then return 0 end
redis.call('HSET', checkpoint_key, 'attempt', replacement)
return 1
