#!lua
-- Purpose: notes what an operator did about a firing alert, and that receivers may have to be told.
-- KEYS:    alerts, alerts_firing, notices of one partition
-- ARGV:    id, care, when receivers may have to be told
-- Returns: 1, or 0 when no such alert fires
local alerts_key, firing_key, notices_key = KEYS[1], KEYS[2], KEYS[3]
local id, when = ARGV[1], tonumber(ARGV[3])
if not redis.call('ZSCORE', firing_key, id) then return 0 end
redis.call('HSET', alerts_key, 'c:' .. id, ARGV[2])
-- A notice that is there already moves earlier, always: who has read it finds out that the alert has changed since.
local before = redis.call('ZSCORE', notices_key, id)
redis.call('ZADD', notices_key, before and math.min(when, before - 1) or when, id)
return 1
