#!lua flags=allow-oom
-- Purpose: reads the alerts with a due notification check, and removes checks of deleted alerts.
-- KEYS:    notices, alerts of one partition
-- ARGV:    at most how many, how many ms ahead of the clock
-- Returns: {Unix ms, (id, due at, opening, end, acknowledged, snoozed, notification state, what
--          receivers took, similar alerts, feedback) of each}, the longest due first; '' for a part
--          that is missing
-- include: clock
local checks_key, alerts_key, count, ahead_ms = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])

local now_ms = clock_ms()
local found = { now_ms }
local due = redis.call('ZRANGEBYSCORE', checks_key, '-inf', now_ms + ahead_ms, 'WITHSCORES', 'LIMIT', 0, count)
for i = 1, #due, 2 do
  local id = due[i]
  local parts = redis.call('HMGET', alerts_key, 'o:' .. id, 'e:' .. id, 'a:' .. id, 's:' .. id, 't:' .. id, 'n:' .. id,
    'h:' .. id, 'f:' .. id)
  if parts[1] then
    found[#found + 1] = id
    found[#found + 1] = due[i + 1]
    for part = 1, 8 do found[#found + 1] = parts[part] or '' end
  else
    redis.call('ZREM', checks_key, id)
  end
end
return found
