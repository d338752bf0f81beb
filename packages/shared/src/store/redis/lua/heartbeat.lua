#!lua flags=allow-oom
-- Purpose: notes that an analyzer lives and forgets those that were silent too long, by Redis' clock alone.
-- KEYS:    members
-- ARGV:    member, ms of silence that are too long
-- Returns: the names of the live members
local members_key = KEYS[1]
local member, ttl_ms = ARGV[1], tonumber(ARGV[2])

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', members_key, string.format('%.0f', now_ms), member)
redis.call('ZREMRANGEBYSCORE', members_key, '-inf', string.format('(%.0f', now_ms - ttl_ms))
return redis.call('ZRANGE', members_key, 0, -1)
