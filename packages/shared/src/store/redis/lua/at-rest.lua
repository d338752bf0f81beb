#!lua flags=no-writes
-- Purpose: reads what shows that partitions at rest have work.
-- KEYS:    accepted of each partition, then key_deletions of each
-- ARGV:    none
-- Returns: {Unix ms, how many of the partitions may have deletions, samples ever accepted in each}
-- include: clock, get-all
local partitions = #KEYS / 2

local rest = { clock_ms(), redis.call('EXISTS', unpack(KEYS, partitions + 1)) }
local accepted = get_all(KEYS, partitions)
for i = 1, partitions do rest[#rest + 1] = accepted[i] or '0' end
return rest
