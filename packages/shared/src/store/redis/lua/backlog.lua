#!lua flags=no-writes
-- Purpose: measures what waits in a partition without sending any of it.
-- KEYS:    samples, accepted, checkpoint of one partition
-- ARGV:    none
-- Returns: {samples accepted and not applied, id of the oldest such entry or '' when there is none, its age in ms}
local samples_key, accepted_key, checkpoint_key = KEYS[1], KEYS[2], KEYS[3]

local applied = redis.call('HMGET', checkpoint_key, 'id', 'offset')
local accepted = tonumber(redis.call('GET', accepted_key) or '0')
local first = redis.call('XRANGE', samples_key, '(' .. (applied[1] or '0-0'), '+', 'COUNT', 1)[1]
local backlog = accepted - tonumber(applied[2] or '0')
if not first then return { backlog, '', 0 } end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
return { backlog, first[1], now_ms - tonumber(first[1]:match('^%d+')) }
