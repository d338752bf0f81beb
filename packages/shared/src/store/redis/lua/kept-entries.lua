#!lua flags=no-writes
-- Purpose: tells which applied entries are still kept, without sending any of them.
-- KEYS:    samples, checkpoint of one partition
-- ARGV:    none
-- Returns: {entry id, samples in it, ...}, oldest first
local samples_key, checkpoint_key = KEYS[1], KEYS[2]

local kept = {}
local applied = redis.call('HGET', checkpoint_key, 'id') or '0-0'
for _, entry in ipairs(redis.call('XRANGE', samples_key, '-', applied)) do
  local count = '0'
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'n' then count = entry[2][i + 1] end
  end
  kept[#kept + 1] = entry[1]
  kept[#kept + 1] = count
end
return kept
