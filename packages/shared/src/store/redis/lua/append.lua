#!lua
-- Purpose: appends one entry to a partition and counts its samples as accepted, both or neither, unless the backlog is full.
--          Refused by Redis as a whole when memory is at its limit: there is no allow-oom flag here on purpose.
-- KEYS:    samples, accepted, checkpoint of one partition
-- ARGV:    the samples as JSON, how many they are, the backlog's limit in samples, a random text,
--          traceparents where there are some
-- Returns: {'stored', entry id} or {'backlog-full', backlog in samples}
local samples_key, accepted_key, checkpoint_key = KEYS[1], KEYS[2], KEYS[3]
local samples, count, backlog_max, nonce, traces = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

-- Kept as the string that Redis stores: the entry's offset must not pass through a float's formatting.
local accepted = redis.call('GET', accepted_key) or '0'
local applied = redis.call('HGET', checkpoint_key, 'offset') or '0'
local backlog = tonumber(accepted) - tonumber(applied)
if backlog >= backlog_max then return { 'backlog-full', backlog } end

local id
if traces then
  id = redis.call('XADD', samples_key, '*', 's', samples, 'n', count, 'o', accepted, 'r', nonce, 't', traces)
else
  id = redis.call('XADD', samples_key, '*', 's', samples, 'n', count, 'o', accepted, 'r', nonce)
end
redis.call('INCRBY', accepted_key, count)
return { 'stored', id }
