#!lua
-- Purpose: appends one entry as append.lua does, or returns the one that the same request appended
--          before. Entry and request are stored together, so a request whose response was lost can
--          be retried. No allow-oom on purpose: Redis refuses all of it at the memory limit.
-- KEYS:    samples, accepted, checkpoint, requests, request_times of one partition
-- ARGV:    the limit of a backlog in samples, what append_entry takes, the request's name among
--          requests, ms to remember it, the limit of remembered requests
-- Returns: {'stored', entry id} or {'known', entry id} or {'backlog-full', backlog in samples} or
--          {'limit-reached', ms until there is room}
-- include: clock, requests, append-entry
local requests_key, times_key = KEYS[4], KEYS[5]
local backlog_max, request, ttl_ms, requests_max = tonumber(ARGV[1]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

local now_ms = clock_ms()
-- Before the first write: a key of another type fails here, and a script cannot be rolled back.
local known = redis.call('HGET', requests_key, request)
local expires_at = tonumber(redis.call('ZSCORE', times_key, request) or '0')

forget_expired(requests_key, times_key, now_ms)
if known and expires_at > now_ms then
  remember(requests_key, times_key, request, known, now_ms + ttl_ms)
  return { 'known', known }
end

local room_in_ms = ms_until_room(times_key, requests_max, now_ms)
if room_in_ms then return { 'limit-reached', room_in_ms } end

local reply = append_entry(1, 2, backlog_max)
if reply[1] == 'stored' then remember(requests_key, times_key, request, reply[2], now_ms + ttl_ms) end
return reply
