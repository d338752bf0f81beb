#!lua flags=allow-oom
-- Purpose: adds a record to the audit log before a change is made, and removes the oldest ones with
--          their results. Bounded, and operators need it while memory is full: to delete keys.
-- KEYS:    log, results
-- ARGV:    record, most records to keep
-- Returns: the id of the record
local log_key, results_key = KEYS[1], KEYS[2]
local record, records_max = ARGV[1], tonumber(ARGV[2])
-- More are left when the limit was lowered: the next calls remove them.
local removed_max = 500

local id = redis.call('XADD', log_key, '*', 'r', record)
local excess = math.min(redis.call('XLEN', log_key) - records_max, removed_max)
if excess > 0 then
  for _, entry in ipairs(redis.call('XRANGE', log_key, '-', '+', 'COUNT', excess)) do
    redis.call('XDEL', log_key, entry[1])
    redis.call('HDEL', results_key, entry[1])
  end
end
return id
