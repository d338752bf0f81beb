-- Purpose: returns the time by Redis' clock, in Unix milliseconds.
-- KEYS:    none
-- ARGV:    none
-- Returns: nothing; defines clock_ms()
local function clock_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
