#!lua flags=no-writes
-- Purpose: reads what is known of keys, without sending any window.
-- KEYS:    keys, windows of one partition
-- ARGV:    keys
-- Returns: for each key 2 if it is registered, 1 if it has only a window, else 0
-- include: arguments
local keys_key, windows_key = KEYS[1], KEYS[2]

local found = {}
in_parts({ first = 1, last = #ARGV }, function(first, last)
  local registered = redis.call('HMGET', keys_key, unpack(ARGV, first, last))
  for i = 1, last - first + 1 do
    local key = ARGV[first + i - 1]
    found[#found + 1] = registered[i] and 2 or redis.call('HEXISTS', windows_key, key)
  end
end)
return found
