-- A scheduled check always moves earlier: its reader can tell that the alert changed since.
local function schedule_check(checks_key, id, at)
  local before = redis.call('ZSCORE', checks_key, id)
  redis.call('ZADD', checks_key, before and math.min(at, before - 1) or at, id)
end
