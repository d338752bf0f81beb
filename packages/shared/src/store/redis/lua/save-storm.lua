#!lua flags=allow-oom
-- Purpose: saves the watch for storms and what it found, all or nothing, for the lease's holder.
-- KEYS:    lease, storm, alerts, alerts_firing, alerts_resolved, notices of the fleet's partition
-- ARGV:    lease token, state, id, opening and time of an alert that begins or grows ('' for none), id, end and time of one that
--          is over ('' for none)
-- Returns: 1, or 0 when the lease is not the caller's
local lease_key, storm_key, alerts_key = KEYS[1], KEYS[2], KEYS[3]
local firing_key, resolved_key, notices_key = KEYS[4], KEYS[5], KEYS[6]
if redis.call('GET', lease_key) ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function notice(id)
  local before = redis.call('ZSCORE', notices_key, id)
  redis.call('ZADD', notices_key, before and math.min(now, before - 1) or now, id)
end

redis.call('SET', storm_key, ARGV[2])
local opened, ended = ARGV[3], ARGV[6]
if opened ~= '' then
  redis.call('HSET', alerts_key, 'o:' .. opened, ARGV[4])
  if not redis.call('ZSCORE', resolved_key, opened) then redis.call('ZADD', firing_key, ARGV[5], opened) end
  notice(opened)
end
if ended ~= '' and redis.call('ZREM', firing_key, ended) == 1 then
  redis.call('HSET', alerts_key, 'e:' .. ended, ARGV[7])
  redis.call('ZADD', resolved_key, ARGV[8], ended)
  notice(ended)
end
return 1
