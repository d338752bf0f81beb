#!lua flags=allow-oom
-- Purpose: stores notification states and adds notifications to the outbox, all or nothing.
-- KEYS:    lease, alerts, notices, outbox of one partition
-- ARGV:    lease token, limit of the outbox, number of alerts, then of each alert: id, notification
--          state, when its check was due, when to check again or '', 'firing' or 'resolved' or ''
--          for the notification to send, the notification's number
-- Returns: 1, or 0 when the caller does not hold the lease
-- include: arguments
local lease_key, alerts_key, checks_key, outbox_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, outbox_max = ARGV[1], ARGV[2]
local decisions = list_reader(3)('id', 'state', 'due_at', 'next_check_at', 'notify', 'number')

if redis.call('GET', lease_key) ~= token then return 0 end
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
      redis.call('XADD', outbox_key, 'MAXLEN', outbox_max, '*', 'a', id, 's', notify, 'n', number)
    end
  end
end
return 1
