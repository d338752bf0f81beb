#!lua flags=allow-oom
-- Purpose: records that an analyzer is alive and removes silent ones, by Redis' clock alone.
-- KEYS:    members
-- ARGV:    member, ms after which a member that was not heard of is removed
-- Returns: {1 if it was no member before, else 0; the names of the live members}
-- include: clock
local members_key, member, ttl_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])

local now_ms = clock_ms()
local added = redis.call('ZADD', members_key, string.format('%.0f', now_ms), member)
redis.call('ZREMRANGEBYSCORE', members_key, '-inf', string.format('(%.0f', now_ms - ttl_ms))
return { added, unpack(redis.call('ZRANGE', members_key, 0, -1)) }
