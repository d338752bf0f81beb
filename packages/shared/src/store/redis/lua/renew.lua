#!lua flags=allow-oom
-- Purpose: extends the leases that the caller still holds.
-- KEYS:    lease of each partition
-- ARGV:    time to live in ms, token of each lease
-- Returns: for each lease 1 when the caller holds it, else 0
-- include: get-all
local ttl_ms = ARGV[1]

local renewed = {}
local held = get_all(KEYS, #KEYS)
for i, lease_key in ipairs(KEYS) do
  renewed[i] = held[i] == ARGV[i + 1] and redis.call('PEXPIRE', lease_key, ttl_ms) or 0
end
return renewed
