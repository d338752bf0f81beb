#!lua flags=no-writes
-- Purpose: reads the points of intervals that are over, oldest first
-- KEYS:    points
-- ARGV:    interval in ms, the id after which to read, and how many entries at most
-- Returns: {Unix ms, entry, ...}: each entry is {id, {field, value, ...}}
-- include: clock
local points_key = KEYS[1]
local interval_ms, after, count = unpack(ARGV)
local now_ms = clock_ms()
local open_from = now_ms - now_ms % tonumber(interval_ms)
local entries = redis.call('XRANGE', points_key, '(' .. after, '(' .. open_from, 'COUNT', count)
return { now_ms, unpack(entries) }
