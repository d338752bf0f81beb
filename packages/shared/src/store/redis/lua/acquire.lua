#!lua flags=allow-oom
-- Purpose: takes a free lease. Plain SET is refused at the memory limit, where work must go on.
-- KEYS:    lease of one partition
-- ARGV:    token, time to live in ms
-- Returns: 1 when taken, else 0
local lease_key, token, ttl_ms = KEYS[1], ARGV[1], ARGV[2]

if redis.call('EXISTS', lease_key) == 1 then return 0 end
redis.call('SET', lease_key, token, 'PX', ttl_ms)
return 1
