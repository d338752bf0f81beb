#!lua flags=allow-oom
-- Purpose: takes a free lease. Plain SET is refused at the memory limit, where work must go on.
-- KEYS:    lease, owner_changes of one partition
-- ARGV:    token, time to live in ms, owner, owner changes to keep
-- Returns: 1 when taken, else 0
local lease_key, changes_key = KEYS[1], KEYS[2]
local token, ttl_ms, owner, changes_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if redis.call('EXISTS', lease_key) == 1 then return 0 end
redis.call('SET', lease_key, token, 'PX', ttl_ms)
-- A lease is worth more than its history: whatever is under that key must not prevent it.
redis.pcall('XADD', changes_key, 'MAXLEN', changes_max, '*', 'e', 'taken', 'o', owner)
return 1
