-- Purpose: schedules the check whether receivers must be notified of an alert.
-- KEYS:    none
-- ARGV:    none
-- Returns: nothing; defines schedule_check(checks_key, alert id, Unix ms)

-- A check that is scheduled already always moves earlier: who has read it can tell that the alert
-- has changed since.
local function schedule_check(checks_key, id, at)
  local before = redis.call('ZSCORE', checks_key, id)
  redis.call('ZADD', checks_key, before and math.min(at, before - 1) or at, id)
end
