#!lua
-- Purpose: remembers the newest point of a series that only grows, and the one before it, so that
--          a point that is sent again gets the same response.
-- KEYS:    total
-- ARGV:    how long the series may pause (ms), time of the point (Unix ms), its count and sum
-- Returns: the point before, `time count sum`; an empty text if it is not known
local total_key, ttl_ms, time, values = KEYS[1], ARGV[1], ARGV[2], ARGV[3]

local newest, before = string.match(redis.call('GET', total_key) or '', '^([^;]*);([^;]*)$')
local newest_time = tonumber(string.match(newest or '', '^%S+'))
if newest_time and tonumber(time) < newest_time then return '' end
if newest_time == nil or tonumber(time) > newest_time then before = newest or '' end
redis.call('SET', total_key, time .. ' ' .. values .. ';' .. before, 'PX', ttl_ms)
return before
