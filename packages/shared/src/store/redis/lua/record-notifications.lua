#!lua flags=allow-oom
-- Purpose: stores notification states and adds notifications to the outbox, all or nothing. What
--          makes room in a full outbox becomes a dead letter of each receiver that did not have it.
-- KEYS:    lease, alerts, notices, outbox, outbox_positions, dead_notifications of one partition
-- ARGV:    lease token, limit of the outbox, limit of the dead letters, number of receivers, then
--          the name of each, number of alerts, then of each alert: id, notification state, when its
--          check was due, when to check again or '', 'firing' or 'resolved' or '' for the
--          notification to send, the notification's number
-- Returns: the dead letters that were added, or -1 when the caller does not hold the lease
-- include: arguments, clock, entry-id, field
local lease_key, alerts_key, checks_key, outbox_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local positions_key, dead_key = KEYS[5], KEYS[6]
local token, outbox_max, dead_max = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local next_list = list_reader(4)
local receivers = next_list('name')
local decisions = next_list('id', 'state', 'due_at', 'next_check_at', 'notify', 'number')

if redis.call('GET', lease_key) ~= token then return -1 end
local added = 0

local function make_room()
  if redis.call('XLEN', outbox_key) < outbox_max then return end
  local id, fields = unpack(redis.call('XRANGE', outbox_key, '-', '+', 'COUNT', 1)[1])
  for name in each(receivers) do
    if is_after(id, redis.call('HGET', positions_key, name) or '0-0') then
      redis.call('XADD', dead_key, 'MAXLEN', dead_max, '*', 'a', field(fields, 'a'), 's', field(fields, 's'),
        'n', field(fields, 'n'), 'r', name, 'w', 'the outbox was full', 't', id:match('^%d+'))
      added = added + 1
    end
  end
end

for id, state, due_at, next_check_at, notify, number in each(decisions) do
  if redis.call('HEXISTS', alerts_key, 'o:' .. id) == 0 then
    redis.call('ZREM', checks_key, id)
  else
    redis.call('HSET', alerts_key, 't:' .. id, state)
    -- Another score means that the alert was changed since the decision: its check stays due.
    local scheduled = tonumber(redis.call('ZSCORE', checks_key, id) or nil)
    if scheduled == tonumber(due_at) then
      redis.call('ZREM', checks_key, id)
      scheduled = nil
    end
    local again = tonumber(next_check_at)
    if again then redis.call('ZADD', checks_key, scheduled and math.min(scheduled, again) or again, id) end
    if notify ~= '' then
      make_room()
      redis.call('XADD', outbox_key, 'MAXLEN', outbox_max, '*', 'a', id, 's', notify, 'n', number)
      -- From here on it is known of each receiver what it took.
      if notify == 'firing' and number == '1' then redis.call('HSETNX', alerts_key, 'n:' .. id, '{}') end
    end
  end
end
return added
