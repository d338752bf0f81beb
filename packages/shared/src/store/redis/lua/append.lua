#!lua
-- Purpose: appends entries in order. One that fails does not affect the others. No allow-oom on
--          purpose: Redis refuses all of it at the memory limit.
-- KEYS:    for each entry the samples, accepted, checkpoint of its partition
-- ARGV:    the limit of a backlog in samples; for each entry what append_entry takes
-- Returns: for each entry {'stored', entry id} or {'backlog-full', backlog in samples} or
--          {'failed', error}
-- include: append-entry
local backlog_max = tonumber(ARGV[1])

local replies = {}
for entry = 1, #KEYS / 3 do
  local is_done, reply = pcall(append_entry, 3 * entry - 2, 4 * entry - 2, backlog_max)
  -- What redis.call() throws is a table.
  replies[entry] = is_done and reply or { 'failed', type(reply) == 'table' and reply.err or tostring(reply) }
end
return replies
