#!lua flags=allow-oom
-- Purpose: notes how far a receiver was told, for the lease's holder; what all receivers were told leaves the outbox.
-- KEYS:    lease, outbox, outbox_positions of one partition
-- ARGV:    lease token, receiver, id of the last entry that it was told, then all receivers
-- Returns: 1, or 0 when the lease is not the caller's
local lease_key, outbox_key, positions_key = KEYS[1], KEYS[2], KEYS[3]
if redis.call('GET', lease_key) ~= ARGV[1] then return 0 end

-- Ids compare as two numbers; equal milliseconds leave it to the sequence.
local function is_after(a, b)
  local a_ms, a_seq = a:match('^(%d+)-(%d+)$')
  local b_ms, b_seq = b:match('^(%d+)-(%d+)$')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  if a_ms ~= b_ms then return a_ms > b_ms end
  return tonumber(a_seq) > tonumber(b_seq)
end

local function position(receiver) return redis.call('HGET', positions_key, receiver) or '0-0' end
if is_after(ARGV[3], position(ARGV[2])) then redis.call('HSET', positions_key, ARGV[2], ARGV[3]) end
local told
for i = 4, #ARGV do
  local one = position(ARGV[i])
  if not told or is_after(told, one) then told = one end
end
if told then
  local ms, seq = told:match('^(%d+)-(%d+)$')
  redis.call('XTRIM', outbox_key, 'MINID', ms .. '-' .. string.format('%.0f', tonumber(seq) + 1))
end
return 1
