#!lua flags=allow-oom
-- Purpose: extends the leases that the caller still holds.
-- KEYS:    lease of each partition
-- ARGV:    time to live in ms, token of each lease
-- Returns: for each lease 1 when the caller holds it, else 0
local ttl_ms = ARGV[1]

local renewed = {}
for i, token in ipairs(redis.call('MGET', unpack(KEYS))) do
  renewed[i] = token == ARGV[i + 1] and redis.call('PEXPIRE', KEYS[i], ttl_ms) or 0
end
return renewed
