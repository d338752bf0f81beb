#!lua flags=allow-oom
-- Purpose: notes what receivers are told of alerts, and puts it into the outbox, all or nothing, for the lease's holder.
-- KEYS:    lease, alerts, notices, outbox of one partition
-- ARGV:    lease token, most entries of the outbox, then of each alert: id, notification, when its notice was due, when to ask again
--          or '', 'firing' or 'resolved' or '' for what receivers are told, the number of that telling
-- Returns: 1, or 0 when the lease is not the caller's
local lease_key, alerts_key, notices_key, outbox_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('GET', lease_key) ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 6 do
  local id, notification, due_at = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local again, tell, number = tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5]
  if redis.call('HEXISTS', alerts_key, 'o:' .. id) == 0 then
    redis.call('ZREM', notices_key, id)
  else
    redis.call('HSET', alerts_key, 't:' .. id, notification)
    -- Another score: the alert was changed since it was judged, so it stays due.
    local present = tonumber(redis.call('ZSCORE', notices_key, id) or nil)
    if present == due_at then
      redis.call('ZREM', notices_key, id)
      present = nil
    end
    if again then redis.call('ZADD', notices_key, present and math.min(present, again) or again, id) end
    if tell ~= '' then
      redis.call('XADD', outbox_key, 'MAXLEN', ARGV[2], '*', 'a', id, 's', tell, 'n', number)
    end
  end
end
return 1
