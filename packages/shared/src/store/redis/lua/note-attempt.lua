#!lua flags=allow-oom
-- Purpose: records which pending entry the owner is about to work on; a commit clears the record.
-- KEYS:    lease, checkpoint of one partition
-- ARGV:    token, the attempt as 'id count'
-- Returns: 1 when the caller holds the lease, else 0
local lease_key, checkpoint_key, token, attempt = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

if redis.call('GET', lease_key) ~= token then return 0 end
redis.call('HSET', checkpoint_key, 'attempt', attempt)
return 1
