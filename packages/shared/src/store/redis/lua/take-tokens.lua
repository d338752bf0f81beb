#!lua
-- Purpose: takes tokens out of a bucket that all gateways share. A cost above the burst is granted
--          when the bucket is full, and leaves a debt. A full bucket is not stored: the key expires
--          when it is full again.
-- KEYS:    bucket
-- ARGV:    tokens gained a second, most tokens, cost, tokens wanted beyond the cost
-- Returns: {tokens granted, tokens left as text}
local bucket_key = KEYS[1]
local per_s, burst, cost, ahead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local rounding = 0.000001

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local tokens = burst
local left, since_us = string.match(redis.call('GET', bucket_key) or '', '^(%S+) (%d+)$')
if left then
  -- The clock may have been set back: nothing is gained then, and it counts on from now.
  tokens = math.min(burst, tonumber(left) + math.max(0, now_us - tonumber(since_us)) * per_s / 1000000)
end

if tokens < math.min(cost, burst) - rounding then return { 0, string.format('%.17g', tokens) } end
local granted = cost + math.max(0, math.min(ahead, math.floor(tokens - cost + rounding)))
tokens = math.min(burst, tokens - granted)
if tokens < burst then
  local full_in_ms = math.ceil((burst - tokens) / per_s * 1000)
  redis.call('SET', bucket_key, string.format('%.17g %.0f', tokens, now_us), 'PX', string.format('%.0f', full_in_ms))
else
  redis.call('DEL', bucket_key)
end
return { granted, string.format('%.17g', tokens) }
