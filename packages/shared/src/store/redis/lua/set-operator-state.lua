#!lua flags=allow-oom
-- Purpose: stores what an operator did about a firing alert, and schedules a notification check.
--          Small, and needed most while memory is full, so it may run then.
-- KEYS:    alerts, alerts_firing, notices of one partition
-- ARGV:    id, when to check, the acknowledgement, the snooze; '' keeps the one that is stored
-- Returns: 1, or 0 when no such alert fires
-- include: notification-check
local alerts_key, firing_key, checks_key = KEYS[1], KEYS[2], KEYS[3]
local id, check_at, acknowledged, snoozed = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

if not redis.call('ZSCORE', firing_key, id) then return 0 end
-- One field each, so that two operators at the same time do not overwrite each other.
if acknowledged ~= '' then redis.call('HSET', alerts_key, 'a:' .. id, acknowledged) end
if snoozed ~= '' then redis.call('HSET', alerts_key, 's:' .. id, snoozed) end
schedule_check(checks_key, id, check_at)
return 1
