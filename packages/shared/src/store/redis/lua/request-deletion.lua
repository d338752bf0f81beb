#!lua flags=allow-oom
-- Purpose: notes that the partition's owner is to delete keys, after the samples accepted so far.
--          It may run at the memory limit: deleting keys frees memory.
-- KEYS:    key_deletions, samples of one partition
-- ARGV:    id of the request, what to delete as JSON, the limit of pending requests
-- Returns: 1, or 0 at the limit
local deletions_key, samples_key, id, wanted, pending_max = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])

local pending = 0
for _, name in ipairs(redis.call('HKEYS', deletions_key)) do
  if name:sub(1, 2) == 'r:' then pending = pending + 1 end
end
if pending >= pending_max then return 0 end
local newest = redis.call('XREVRANGE', samples_key, '+', '-', 'COUNT', 1)[1]
redis.call('HSET', deletions_key, 'r:' .. id, (newest and newest[1] or '0-0') .. ' ' .. wanted)
return 1
