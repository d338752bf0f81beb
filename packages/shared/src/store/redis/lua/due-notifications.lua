#!lua flags=allow-oom
-- Purpose: tells of which alerts receivers may have to be told by now, and drops notices of alerts that are gone.
-- KEYS:    notices, alerts of one partition
-- ARGV:    at most how many
-- Returns: {Unix ms, (id, due at, opening, end, acknowledged, snoozed, telling) of each}, the longest due first; '' for a part that is not there
local notices_key, alerts_key = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = { now }
local due = redis.call('ZRANGEBYSCORE', notices_key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for i = 1, #due, 2 do
  local id = due[i]
  local parts = redis.call('HMGET', alerts_key, 'o:' .. id, 'e:' .. id, 'a:' .. id, 's:' .. id, 't:' .. id)
  if parts[1] then
    found[#found + 1] = id
    found[#found + 1] = due[i + 1]
    for part = 1, 5 do found[#found + 1] = parts[part] or '' end
  else
    redis.call('ZREM', notices_key, id)
  end
end
return found
