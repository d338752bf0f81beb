#!lua flags=allow-oom
-- Purpose: records what a receiver took of alerts in a message that another partition sent. It only
--          ever adds, so it needs no lease: the owner's own record at worst repeats a notification.
-- KEYS:    alerts of one partition
-- ARGV:    receiver, the state of one that took nothing, its member with the number of the
--          newest notification, number of notifications, then of each: alert, status, number
-- Returns: 1
-- include: arguments, clock
local alerts_key, receiver, nothing_taken, newest = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local next_list = list_reader(4)
local notifications = next_list('alert', 'status', 'number')

for alert, status, number in each(notifications) do
  if redis.call('HEXISTS', alerts_key, 'o:' .. alert) == 1 then
    local states = cjson.decode(redis.call('HGET', alerts_key, 'n:' .. alert) or '{}')
    local state = states[receiver] or cjson.decode(nothing_taken)
    if status == 'resolved' then
      state[newest .. '_resolved'] = true
    elseif tonumber(number) > state[newest] then
      state[newest], state[newest .. '_at'] = tonumber(number), clock_ms()
    end
    states[receiver] = state
    redis.call('HSET', alerts_key, 'n:' .. alert, cjson.encode(states))
  end
end
return 1
