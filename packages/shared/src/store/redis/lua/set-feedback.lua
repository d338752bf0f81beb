#!lua flags=allow-oom
-- Purpose: stores what an operator thinks of an alert, and counts it: each alert once, as what it
--          is marked as now. Bounded, so it may run while memory is full.
-- KEYS:    alerts, key_alerts, rule_alerts of one partition
-- ARGV:    id, the feedback or '' to remove it, 'useful' or 'noise' or '', the key or '' for an
--          alert that is not counted, the rule or '', the name in the key's counts, when it opened
-- Returns: 1, or 0 when there is no such alert
-- include: alert-counts
local alerts_key, key_alerts_key, rule_alerts_key = KEYS[1], KEYS[2], KEYS[3]
local id, feedback, mark, key, rule, name, opened_at = unpack(ARGV)

if redis.call('HEXISTS', alerts_key, 'o:' .. id) == 0 then return 0 end
local is_json, before = pcall(cjson.decode, redis.call('HGET', alerts_key, 'f:' .. id) or 'null')
local mark_before = is_json and type(before) == 'table' and (before.useful and 'useful' or 'noise') or ''
if feedback == '' then
  redis.call('HDEL', alerts_key, 'f:' .. id)
else
  redis.call('HSET', alerts_key, 'f:' .. id, feedback)
end
if key == '' or mark == mark_before then return 1 end

local function added(what) return (mark == what and 1 or 0) - (mark_before == what and 1 or 0) end

local function count(hash, field, name_in_list)
  local counts = parse_counts(redis.call('HGET', hash, field))
  change_counts(counts, day_of(opened_at), name_in_list, 0, added('useful'), added('noise'))
  redis.call('HSET', hash, field, cjson.encode(counts))
end
-- pcall: a key of another type must not keep the feedback from being stored.
pcall(count, key_alerts_key, key, name)
pcall(count, rule_alerts_key, rule, '')
return 1
