#!lua flags=no-writes
-- Purpose: lists the applied entries that are still kept, without sending any of them.
-- KEYS:    samples, checkpoint of one partition
-- ARGV:    none
-- Returns: {entry id, samples in it, ...}, oldest first
-- include: field
local samples_key, checkpoint_key = KEYS[1], KEYS[2]

local kept = {}
local applied = redis.call('HGET', checkpoint_key, 'id') or '0-0'
for _, entry in ipairs(redis.call('XRANGE', samples_key, '-', applied)) do
  kept[#kept + 1] = entry[1]
  kept[#kept + 1] = field(entry[2], 'n') or '0'
end
return kept
