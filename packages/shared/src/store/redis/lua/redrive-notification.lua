#!lua flags=allow-oom
-- Purpose: schedules an alert's pending notifications for a receiver, and deletes the dead letter
--          that says so: both or neither.
-- KEYS:    dead_notifications, outbox_retries of the receiver, alerts of one partition
-- ARGV:    id of the dead letter, its alert, its receiver, the state of one that took nothing
-- Returns: 'scheduled', or 'unknown' without such a letter, or 'alert-unknown'
-- include: clock
local dead_key, retries_key, alerts_key = KEYS[1], KEYS[2], KEYS[3]
local id, alert, receiver, nothing_taken = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if not redis.call('XRANGE', dead_key, id, id)[1] then return 'unknown' end
if redis.call('HEXISTS', alerts_key, 'o:' .. alert) == 0 then return 'alert-unknown' end
local states = cjson.decode(redis.call('HGET', alerts_key, 'n:' .. alert) or '{}')
local state = states[receiver] or cjson.decode(nothing_taken)
-- The time for retries begins again.
state.failing_since = clock_ms()
states[receiver] = state
redis.call('HSET', alerts_key, 'n:' .. alert, cjson.encode(states))
redis.call('ZADD', retries_key, state.failing_since, alert)
redis.call('XDEL', dead_key, id)
return 'scheduled'
