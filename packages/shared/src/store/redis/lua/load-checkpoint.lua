#!lua flags=allow-oom
-- Purpose: reads a partition's checkpoint, and makes sure that every entry after it is pending or
--          not delivered yet. It is neither when the group is new, or when an operator moved it,
--          acknowledged by hand, read as another consumer or removed ours. Then the group goes back
--          to the checkpoint and delivers again what was pending.
-- KEYS:    samples, checkpoint of one partition
-- ARGV:    group, consumer
-- Returns: {checkpoint id, offset, the attempt as 'id count' or '', version of the last rules, how
--          many commits without entries there were}
-- include: entry-id, field
local samples_key, checkpoint_key, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

local stored = redis.call('HMGET', checkpoint_key, 'id', 'offset', 'attempt', 'rules', 'time_commits')
local id = stored[1] or '0-0'
local loaded = { id, stored[2] or '0', stored[3] or '', stored[4] or '0', stored[5] or '0' }
-- The caller reports it. No entry can be after it.
if not id:match('^%d+%-%d+$') then return loaded end

local delivered
if redis.call('EXISTS', samples_key) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', samples_key)) do
    if field(info, 'name') == group then delivered = field(info, 'last-delivered-id') end
  end
end
if not delivered then
  redis.call('XGROUP', 'CREATE', samples_key, group, id, 'MKSTREAM')
  return loaded
end

local first = redis.call('XRANGE', samples_key, '(' .. id, '+', 'COUNT', 1)[1]
if first and not is_after(first[1], delivered) then
  local pending = redis.call('XPENDING', samples_key, group, first[1], first[1], 1, consumer)
  if not pending[1] then
    redis.call('XGROUP', 'DELCONSUMER', samples_key, group, consumer)
    redis.call('XGROUP', 'SETID', samples_key, group, id)
  end
end
return loaded
