#!lua flags=allow-oom
-- Purpose: records what became of a receiver's pending notifications: what it took, what is retried
--          later, what is a dead letter. What all receivers handled leaves the outbox.
-- KEYS:    lease, alerts, outbox, outbox_positions, outbox_retries of the receiver,
--          dead_notifications of one partition
-- ARGV:    lease token, receiver, id of the last outbox entry that was handled or '', limit of the
--          dead letters, number of receivers, then the name of each, number of alerts, then of each
--          alert: id, the receiver's state of it, when to retry or '', number of dead letters, then
--          of each: alert, status, number, reason, pending since (Unix ms)
-- Returns: 1, or 0 when the caller does not hold the lease
-- include: arguments, entry-id
local lease_key, alerts_key, outbox_key, positions_key, retries_key, dead_key = unpack(KEYS)
local token, receiver, up_to, dead_max = unpack(ARGV, 1, 4)
local next_list = list_reader(5)
local receivers = next_list('name')
local alerts = next_list('id', 'state', 'retry_at')
local dead_letters = next_list('alert', 'status', 'number', 'reason', 'since')

if redis.call('GET', lease_key) ~= token then return 0 end

for id, state, retry_at in each(alerts) do
  local is_kept = redis.call('HEXISTS', alerts_key, 'o:' .. id) == 1
  if is_kept then
    -- One member for each receiver: their deliveries are recorded independently of each other.
    local states = cjson.decode(redis.call('HGET', alerts_key, 'n:' .. id) or '{}')
    states[receiver] = cjson.decode(state)
    redis.call('HSET', alerts_key, 'n:' .. id, cjson.encode(states))
  end
  if is_kept and retry_at ~= '' then
    redis.call('ZADD', retries_key, retry_at, id)
  else
    redis.call('ZREM', retries_key, id)
  end
end
for alert, status, number, reason, since in each(dead_letters) do
  redis.call('XADD', dead_key, 'MAXLEN', dead_max, '*',
    'a', alert, 's', status, 'n', number, 'r', receiver, 'w', reason, 't', since)
end

local function position_of(name) return redis.call('HGET', positions_key, name) or '0-0' end

if up_to ~= '' and is_after(up_to, position_of(receiver)) then redis.call('HSET', positions_key, receiver, up_to) end
local delivered
for name in each(receivers) do
  local position = position_of(name)
  if not delivered or is_after(delivered, position) then delivered = position end
end
if delivered then
  local ms, seq = delivered:match('^(%d+)-(%d+)$')
  redis.call('XTRIM', outbox_key, 'MINID', ms .. '-' .. string.format('%.0f', tonumber(seq) + 1))
end
return 1
