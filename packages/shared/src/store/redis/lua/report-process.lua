#!lua flags=allow-oom
-- Purpose: records what a running process says of itself, and removes reports that have expired.
--          Bounded: a report is small, and there is one for each process.
-- KEYS:    processes
-- ARGV:    name, instance, time to live in ms, content
-- Returns: {name, instance, content, ...} of all processes, or nil while another instance has the
--          name
-- include: clock
local processes_key = KEYS[1]
local name, instance, ttl_ms, content = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local report_format = '^(%d+) (%S+) (.*)$'

local now_ms = clock_ms()
local live, expired = { name, instance, content }, {}
local reports = redis.call('HGETALL', processes_key)
for i = 1, #reports, 2 do
  local expires_ms, holder, text = string.match(reports[i + 1], report_format)
  local is_live = holder and tonumber(expires_ms) > now_ms
  if reports[i] == name then
    if is_live and holder ~= instance then return false end
  elseif is_live then
    live[#live + 1] = reports[i]
    live[#live + 1] = holder
    live[#live + 1] = text
  else
    expired[#expired + 1] = reports[i]
  end
end
redis.call('HSET', processes_key, name, string.format('%.0f %s %s', now_ms + ttl_ms, instance, content))
for _, gone in ipairs(expired) do redis.call('HDEL', processes_key, gone) end
return live
