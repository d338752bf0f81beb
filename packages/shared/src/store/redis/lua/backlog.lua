#!lua flags=no-writes
-- Purpose: measures what waits in a partition, and what became of all that it ever accepted, without sending any of it.
-- KEYS:    samples, accepted, checkpoint of one partition
-- ARGV:    none
-- Returns: {samples accepted and not applied, id of the oldest such entry or '' when there is none, its age in ms,
--          those samples as the stream has them, samples ever accepted, analysed, dead}
local samples_key, accepted_key, checkpoint_key = KEYS[1], KEYS[2], KEYS[3]

local applied = redis.call('HMGET', checkpoint_key, 'id', 'offset', 'analysed', 'dead')
local accepted = tonumber(redis.call('GET', accepted_key) or '0')
local offset, analysed, dead = tonumber(applied[2] or '0'), tonumber(applied[3] or '0'), tonumber(applied[4] or '0')
local first = redis.call('XRANGE', samples_key, '(' .. (applied[1] or '0-0'), '+', 'COUNT', 1)[1]
local backlog = accepted - offset
if not first then return { backlog, '', 0, 0, accepted, analysed, dead } end

-- An entry that somebody added by hand has no offset, and says nothing.
local function extent(entry)
  local from, count
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'o' then from = tonumber(entry[2][i + 1]) end
    if entry[2][i] == 'n' then count = tonumber(entry[2][i + 1]) end
  end
  if from and count then return from, from + count end
end

local begins = extent(first) or offset
local _, ends = extent(redis.call('XREVRANGE', samples_key, '+', '-', 'COUNT', 1)[1])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local age_ms = now_ms - tonumber(first[1]:match('^%d+'))
return { backlog, first[1], age_ms, (ends or accepted) - begins, accepted, analysed, dead }
