#!lua flags=allow-oom
-- Purpose: reads a partition's checkpoint, and makes sure that its group will deliver every entry
--          after it: each must be pending or not delivered yet. It is neither when the group is
--          new, or when an operator moved the group, acknowledged by hand, read as another consumer
--          or removed ours. Then the group goes back to the checkpoint and its pending entries are
--          dropped, because they are delivered again.
-- KEYS:    samples, checkpoint of one partition
-- ARGV:    group, consumer
-- Returns: {checkpoint id, offset, the attempt as 'id count' or '', version of the rules that last
--          judged}
-- include: entry-id, field
local samples_key, checkpoint_key = KEYS[1], KEYS[2]
local group, consumer = ARGV[1], ARGV[2]

local id = redis.call('HGET', checkpoint_key, 'id') or '0-0'
local offset = redis.call('HGET', checkpoint_key, 'offset') or '0'
local attempt = redis.call('HGET', checkpoint_key, 'attempt') or ''
local rules = redis.call('HGET', checkpoint_key, 'rules') or '0'

local delivered
if redis.call('EXISTS', samples_key) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', samples_key)) do
    if field(info, 'name') == group then delivered = field(info, 'last-delivered-id') end
  end
end
if not delivered then
  redis.call('XGROUP', 'CREATE', samples_key, group, id, 'MKSTREAM')
  return { id, offset, attempt, rules }
end

local first = redis.call('XRANGE', samples_key, '(' .. id, '+', 'COUNT', 1)[1]
if first and not is_after(first[1], delivered) then
  local pending = redis.call('XPENDING', samples_key, group, first[1], first[1], 1, consumer)
  if not pending[1] then
    redis.call('XGROUP', 'DELCONSUMER', samples_key, group, consumer)
    redis.call('XGROUP', 'SETID', samples_key, group, id)
  end
end
return { id, offset, attempt, rules }
