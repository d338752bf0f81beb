#!lua flags=allow-oom
-- Purpose: stores what an operator did about a firing alert, and schedules a notification check.
--          Small, and needed most while memory is full, so it may run then.
-- KEYS:    alerts, alerts_firing, notices, alert_changes of one partition
-- ARGV:    id, when to check, changes to keep, the acknowledgement, the snooze; '' keeps what is
--          stored
-- Returns: 1, or 0 when no such alert fires
-- include: notification-check
local alerts_key, firing_key, checks_key, changes_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, check_at, changes_max, acknowledged, snoozed = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]

local function note(change)
  -- pcall: what another program stored there must not keep an operator from acting.
  redis.pcall('XADD', changes_key, 'MAXLEN', '~', changes_max, '*', 'k', change, 'a', id)
end

if not redis.call('ZSCORE', firing_key, id) then return 0 end
-- One field each, so that two operators at the same time do not overwrite each other.
if acknowledged ~= '' then
  redis.call('HSET', alerts_key, 'a:' .. id, acknowledged)
  note('acknowledged')
end
if snoozed ~= '' then
  redis.call('HSET', alerts_key, 's:' .. id, snoozed)
  note('snoozed')
end
schedule_check(checks_key, id, check_at)
return 1
