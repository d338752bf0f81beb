#!lua flags=no-writes
-- Purpose: looks at the next keys of a partition without sending their analyses.
-- KEYS:    keys, last_analysis of one partition
-- ARGV:    which of the two to scan (1 or 2), the cursor, about how many keys, the prefix that keys
--          must have, the time (Unix ms) since which they have sent nothing or ''
-- Returns: {next cursor, keys looked at, keys of the list, key, key ...}
-- include: arguments
local keys_key, last_analysis_key = KEYS[1], KEYS[2]
local list, cursor, count, prefix, idle_since = KEYS[tonumber(ARGV[1])], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local next_cursor, flat = unpack(redis.call('HSCAN', list, cursor, 'COUNT', count))
local keys = {}
for at = 1, #flat, 2 do
  if flat[at]:sub(1, #prefix) == prefix then keys[#keys + 1] = flat[at] end
end

local found = { next_cursor, #flat / 2, redis.call('HLEN', list) }
in_parts({ first = 1, last = #keys }, function(first, last)
  local registered = idle_since and redis.call('HMGET', keys_key, unpack(keys, first, last))
  local analyses = idle_since and redis.call('HMGET', last_analysis_key, unpack(keys, first, last))
  for i = 1, last - first + 1 do
    local seen = idle_since and tonumber((registered[i] or ''):match('^%d+') or 0)
    local analyzed = idle_since and tonumber((analyses[i] or ''):match('"analyzed_at":(%d+)') or 0)
    if not idle_since or math.max(seen, analyzed) < idle_since then found[#found + 1] = keys[first + i - 1] end
  end
end)
return found
