#!lua
-- Purpose: notes what an operator did about a firing alert, and that receivers may have to be told.
-- KEYS:    alerts, alerts_firing, notices of one partition
-- ARGV:    id, when receivers may have to be told, what was acknowledged and what was snoozed, '' for what stays as it is
-- Returns: 1, or 0 when no such alert fires
local alerts_key, firing_key, notices_key = KEYS[1], KEYS[2], KEYS[3]
local id, when = ARGV[1], tonumber(ARGV[2])
if not redis.call('ZSCORE', firing_key, id) then return 0 end
-- A field each: two operators at the same time undo nothing of each other's.
if ARGV[3] ~= '' then redis.call('HSET', alerts_key, 'a:' .. id, ARGV[3]) end
if ARGV[4] ~= '' then redis.call('HSET', alerts_key, 's:' .. id, ARGV[4]) end
-- A notice that is there already moves earlier, always: who has read it finds out that the alert has changed since.
local before = redis.call('ZSCORE', notices_key, id)
redis.call('ZADD', notices_key, before and math.min(when, before - 1) or when, id)
return 1
