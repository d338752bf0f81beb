#!lua flags=allow-oom
-- Purpose: adds the result to a record of the audit log, unless the record is gone: a result alone
--          would stay for ever. Bounded.
-- KEYS:    log, results
-- ARGV:    id of the record, result
-- Returns: 1, or 0 when there is no such record
local log_key, results_key = KEYS[1], KEYS[2]
local id, result = ARGV[1], ARGV[2]

if #redis.call('XRANGE', log_key, id, id) == 0 then return 0 end
redis.call('HSET', results_key, id, result)
return 1
