#!lua flags=allow-oom
-- Purpose: tells where a partition's work stands, and sees to it that its group will deliver every entry after that:
--          each must be pending or not delivered yet. It is neither when the group is new, or when somebody moved the
--          group, acknowledged by hand, read as another consumer or removed ours; then the group goes back to the
--          checkpoint, and what is pending is forgotten, for it is delivered again.
-- KEYS:    samples, checkpoint of one partition
-- ARGV:    group, consumer
-- Returns: {checkpoint id, offset, the attempt as 'id count' or '', version of the rules that last judged}
local samples_key, checkpoint_key = KEYS[1], KEYS[2]
local group, consumer = ARGV[1], ARGV[2]

local id = redis.call('HGET', checkpoint_key, 'id') or '0-0'
local offset = redis.call('HGET', checkpoint_key, 'offset') or '0'
local attempt = redis.call('HGET', checkpoint_key, 'attempt') or ''
local rules = redis.call('HGET', checkpoint_key, 'rules') or '0'

local delivered
if redis.call('EXISTS', samples_key) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', samples_key)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields['name'] == group then delivered = fields['last-delivered-id'] end
  end
end
if not delivered then
  redis.call('XGROUP', 'CREATE', samples_key, group, id, 'MKSTREAM')
  return { id, offset, attempt, rules }
end

-- Ids compare as two numbers; equal milliseconds leave it to the sequence.
local function is_after(a, b)
  local a_ms, a_seq = a:match('^(%d+)-(%d+)$')
  local b_ms, b_seq = b:match('^(%d+)-(%d+)$')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  if a_ms ~= b_ms then return a_ms > b_ms end
  return tonumber(a_seq) > tonumber(b_seq)
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
