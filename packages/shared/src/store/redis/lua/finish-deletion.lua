#!lua flags=allow-oom
-- Purpose: ends a deletion of keys, and drops the counts of those that ended long ago.
-- KEYS:    lease, key_deletions of one partition
-- ARGV:    token of the lease, id of the request, ms that its count is kept
-- Returns: 1, or 0 when the caller does not hold the lease
-- include: clock
local lease_key, deletions_key, token, id, kept_ms = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])

if redis.call('GET', lease_key) ~= token then return 0 end
local now_ms = clock_ms()
redis.call('HDEL', deletions_key, 'r:' .. id)
redis.call('HSET', deletions_key, 'd:' .. id, string.format('%d', now_ms))
local fields = redis.call('HGETALL', deletions_key)
for at = 1, #fields, 2 do
  local done = fields[at]:match('^d:(.*)$')
  if done and tonumber(fields[at + 1]) <= now_ms - kept_ms then
    redis.call('HDEL', deletions_key, 'd:' .. done, 'n:' .. done)
  end
end
return 1
