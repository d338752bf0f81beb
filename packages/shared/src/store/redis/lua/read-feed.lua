#!lua flags=no-writes
-- Purpose: reads what follows positions in streams of any number of partitions, and whether it is
--          complete.
-- KEYS:    for each position the stream, and the samples of its partition
-- ARGV:    bytes of one stream; for each position '' for the stream's end or the id of an entry,
--          which follows '[' if that entry is read again; and '1' if the entries have samples
-- Returns: for each position {position, gap, more, {id, fields, samples} ...}; gap and more are '1'
--          or ''
-- include: entry-id, field
local bytes_max = tonumber(ARGV[1])

-- Entries that are read at once: each may have a megabyte.
local STEP = 16

local function first_id(key)
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  return first and first[1]
end

local function last_id(key)
  local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  return last and last[1]
end

-- Whether a stream ever dropped an entry. (pcall: a user of an earlier version may lack the right.)
local function has_dropped(key)
  local info = redis.pcall('XINFO', 'STREAM', key)
  return info.err ~= nil or field(info, 'entries-added') ~= field(info, 'length')
end

-- Returns where to read on, and whether something may be missing there. The entry of the position
-- is gone, or was never there.
local function check(key, after)
  local first, last = first_id(key), last_id(key)
  if after == '0-0' then return after, first ~= nil and has_dropped(key) end
  -- Redis has lost what it had.
  if not first then return '0-0', true end
  if is_after(after, last) then return last, true end
  return after, is_after(first, after)
end

local function read(key, samples_key, after)
  if after == '' then return { last_id(key) or '0-0', '', '' } end
  local is_included = after:sub(1, 1) == '['
  local position, has_gap = after:gsub('^%[', ''), false
  local found = redis.call('XRANGE', key, position, '+', 'COUNT', STEP)
  if not found[1] or found[1][1] ~= position then
    position, has_gap = check(key, position)
  elseif not is_included then
    table.remove(found, 1)
  end
  local part, bytes = { '', has_gap and '1' or '', '' }, 0
  while #found > 0 and part[3] == '' do
    for _, entry in ipairs(found) do
      if bytes >= bytes_max then
        part[3] = '1'
        break
      end
      local id, fields = entry[1], entry[2]
      local sampled = samples_key and redis.call('XRANGE', samples_key, id, id)[1]
      local samples = sampled and field(sampled[2], 's') or ''
      for _, text in ipairs(fields) do bytes = bytes + #text end
      bytes = bytes + #samples
      part[#part + 1] = { id, fields, samples }
      position = id
    end
    found = redis.call('XRANGE', key, '(' .. position, '+', 'COUNT', STEP)
  end
  part[1] = position
  return part
end

local parts = {}
for i = 1, #KEYS / 2 do
  local key, samples_key = unpack(KEYS, 2 * i - 1, 2 * i)
  local after, has_samples = unpack(ARGV, 2 * i, 2 * i + 1)
  parts[i] = read(key, has_samples == '1' and samples_key, after)
end
return parts
