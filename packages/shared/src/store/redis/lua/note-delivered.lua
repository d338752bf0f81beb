#!lua flags=allow-oom
-- Purpose: records how far the outbox was delivered to a receiver. What all have leaves the outbox.
-- KEYS:    lease, outbox, outbox_positions of one partition
-- ARGV:    lease token, receiver, id of the last entry that was delivered to it, then all receivers
-- Returns: 1, or 0 when the caller does not hold the lease
-- include: entry-id
local lease_key, outbox_key, positions_key = KEYS[1], KEYS[2], KEYS[3]
local token, receiver, up_to, receivers = ARGV[1], ARGV[2], ARGV[3], { unpack(ARGV, 4) }

if redis.call('GET', lease_key) ~= token then return 0 end

local function position_of(name) return redis.call('HGET', positions_key, name) or '0-0' end

if is_after(up_to, position_of(receiver)) then redis.call('HSET', positions_key, receiver, up_to) end
local delivered
for _, name in ipairs(receivers) do
  local position = position_of(name)
  if not delivered or is_after(delivered, position) then delivered = position end
end
if delivered then
  local ms, seq = delivered:match('^(%d+)-(%d+)$')
  redis.call('XTRIM', outbox_key, 'MINID', ms .. '-' .. string.format('%.0f', tonumber(seq) + 1))
end
return 1
