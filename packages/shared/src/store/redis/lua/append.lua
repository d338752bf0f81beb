#!lua
-- Purpose: appends one entry and counts its samples as accepted, unless the backlog is full. No
--          allow-oom on purpose: Redis refuses all of it at the memory limit.
-- KEYS:    samples, accepted, checkpoint of one partition
-- ARGV:    the samples as JSON, their number, the limit of the backlog in samples, a nonce,
--          traceparents if there are any
-- Returns: {'stored', entry id} or {'backlog-full', backlog in samples}
-- include: append-entry
local samples_key, accepted_key, checkpoint_key = KEYS[1], KEYS[2], KEYS[3]
local samples, count, backlog_max, nonce, traces = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

local backlog, accepted = backlog_of(accepted_key, checkpoint_key)
if backlog >= backlog_max then return { 'backlog-full', backlog } end
return { 'stored', append_entry(samples_key, accepted_key, samples, count, accepted, nonce, traces) }
