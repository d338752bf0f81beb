#!lua
-- Purpose: registers keys, and counts the new ones for their owners and for the hour. No allow-oom
--          on purpose: Redis refuses all of it at the memory limit.
-- KEYS:    keys, key_owners, key_births of one partition
-- ARGV:    ms that an hour is counted, then pairs of a key and the id of its owner
-- Returns: how many keys are new
-- include: clock
local keys_key, owners_key, births_key, kept_ms = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])
local HOUR_MS = 3600000

local now_ms = clock_ms()
local added, by_owner = 0, {}
for at = 2, #ARGV, 2 do
  local key, owner = ARGV[at], ARGV[at + 1]
  if redis.call('HSETNX', keys_key, key, string.format('%d %s', now_ms, owner)) == 1 then
    added = added + 1
    by_owner[owner] = (by_owner[owner] or 0) + 1
  end
end
-- pcall: a count that another program stored there begins again.
for owner, count in pairs(by_owner) do
  local sum = redis.pcall('HINCRBY', owners_key, owner, count)
  if type(sum) == 'table' then redis.pcall('HSET', owners_key, owner, count) end
end
if added > 0 then
  local hour = string.format('%d', now_ms - now_ms % HOUR_MS)
  if redis.pcall('HINCRBY', births_key, hour, added) == added then
    for _, other in ipairs(redis.call('HKEYS', births_key)) do
      if (tonumber(other) or 0) <= now_ms - kept_ms then redis.call('HDEL', births_key, other) end
    end
  end
end
return added
