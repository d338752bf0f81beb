#!lua flags=no-writes
-- Purpose: measures a partition's backlog and progress, without sending any sample.
-- KEYS:    samples, accepted, checkpoint of one partition
-- ARGV:    none
-- Returns: {samples accepted and not applied, id of the oldest such entry or '', its age in ms, the
--          same samples by the entries' offsets, samples ever accepted, analysed, dead}
-- include: clock, field
local samples_key, accepted_key, checkpoint_key = KEYS[1], KEYS[2], KEYS[3]

local applied = redis.call('HMGET', checkpoint_key, 'id', 'offset', 'analysed', 'dead')
local accepted = tonumber(redis.call('GET', accepted_key) or '0')
local offset, analysed, dead = tonumber(applied[2] or '0'), tonumber(applied[3] or '0'), tonumber(applied[4] or '0')
local first = redis.call('XRANGE', samples_key, '(' .. (applied[1] or '0-0'), '+', 'COUNT', 1)[1]
local backlog = accepted - offset
if not first then return { backlog, '', 0, 0, accepted, analysed, dead } end

-- Returns nil for an entry that was added by hand: it has no offset.
local function extent(entry)
  local from, count = tonumber(field(entry[2], 'o')), tonumber(field(entry[2], 'n'))
  if from and count then return from, from + count end
end

local begins = extent(first) or offset
local _, ends = extent(redis.call('XREVRANGE', samples_key, '+', '-', 'COUNT', 1)[1])
local age_ms = clock_ms() - tonumber(first[1]:match('^%d+'))
return { backlog, first[1], age_ms, (ends or accepted) - begins, accepted, analysed, dead }
