#!lua
-- Purpose: reserves the name of a client's request for its content, whatever partitions that
--          touches. Refused at the memory limit, as the append after it would be.
-- KEYS:    requests, request_times of the partition that the request's name falls to
-- ARGV:    the name among requests, digest of the content, ms to remember it, the limit of
--          remembered requests
-- Returns: {'new'} or {'repeat'} or {'conflict'} or {'limit-reached', ms until there is room}
-- include: clock, requests
local requests_key, times_key = KEYS[1], KEYS[2]
local request, content, ttl_ms, requests_max = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local now_ms = clock_ms()
-- Before the first write: a key of another type fails here, and a script cannot be rolled back.
local known = redis.call('HGET', requests_key, request)
local expires_at = tonumber(redis.call('ZSCORE', times_key, request) or '0')
local is_known = known and expires_at > now_ms
if is_known and known ~= content then return { 'conflict' } end

forget_expired(requests_key, times_key, now_ms)
local room_in_ms = not is_known and ms_until_room(times_key, requests_max, now_ms)
if room_in_ms then return { 'limit-reached', room_in_ms } end
remember(requests_key, times_key, request, content, now_ms + ttl_ms)
return { is_known and 'repeat' or 'new' }
