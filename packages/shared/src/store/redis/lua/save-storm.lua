#!lua flags=allow-oom
-- Purpose: saves the storm state and the alert changes that follow from it, all or nothing.
-- KEYS:    lease, storm, alerts, alerts_firing, alerts_resolved, notices, alert_changes of
--          the fleet's partition
-- ARGV:    lease token, state, id, opening and time of an alert that begins or grows ('' for none),
--          id, end and time of an alert that is resolved ('' for none); changes to keep
-- Returns: 1, or 0 when the caller does not hold the lease
-- include: clock, notification-check
local lease_key, storm_key, alerts_key = KEYS[1], KEYS[2], KEYS[3]
local firing_key, resolved_key, checks_key, changes_key = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local token, state = ARGV[1], ARGV[2]
local opened_id, opening, opened_at = ARGV[3], ARGV[4], ARGV[5]
local ended_id, alert_end, resolved_at, changes_max = ARGV[6], ARGV[7], ARGV[8], ARGV[9]

local function note(change, id)
  redis.pcall('XADD', changes_key, 'MAXLEN', '~', changes_max, '*', 'k', change, 'a', id)
end

if redis.call('GET', lease_key) ~= token then return 0 end
local now_ms = clock_ms()
redis.call('SET', storm_key, state)
if opened_id ~= '' then
  local is_new = redis.call('HSET', alerts_key, 'o:' .. opened_id, opening) == 1
  note(is_new and 'opened' or 'updated', opened_id)
  if not redis.call('ZSCORE', resolved_key, opened_id) then redis.call('ZADD', firing_key, opened_at, opened_id) end
  schedule_check(checks_key, opened_id, now_ms)
end
if ended_id ~= '' and redis.call('ZREM', firing_key, ended_id) == 1 then
  redis.call('HSET', alerts_key, 'e:' .. ended_id, alert_end)
  redis.call('ZADD', resolved_key, resolved_at, ended_id)
  note('resolved', ended_id)
  schedule_check(checks_key, ended_id, now_ms)
end
return 1
