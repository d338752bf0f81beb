#!lua flags=allow-oom
-- Purpose: applies the effects of a run of entries, or of elapsed time (no entries), all of them or
--          none. Everything is checked before the first write, because a script cannot be rolled
--          back. It may run at the memory limit: committing is what frees memory.
-- KEYS:    as the first line of code names them, of one partition
-- ARGV:    as the following lines name them: scalars, then lists. commit-arguments.ts says what
--          each is, and a test compares the names and their order
-- Steps:   'all'; or in a transaction 'check', with the scalars and entries only, then 'apply',
--          with everything but what HSET commands beside it write (checked-transaction.ts)
-- Returns: {'ok', Unix ms, how many keys were evicted if any were listed} or {'already'} or
--          {'stale', checkpoint id} or {'gap', entry id} or {'fenced'} or {'type', key}; {'ready'}
--          if a check finds nothing of this
-- include: alert-counts, arguments, clock, entry-id, field, notification-check
local samples_key, lease_key, checkpoint_key, windows_key, window_tails_key, guard_memories_key, last_analysis_key,
  anomalies_key, dead_letters_key, verdicts_key, alerts_key, alerts_firing_key, alerts_resolved_key, alert_feed_key,
  notification_checks_key, timers_key, rule_counts_key, shadowed_key, keys_key, key_owners_key, key_deletions_key,
  key_alerts_key, rule_alerts_key, aggregates_key, aggregates_hours_key, aggregates_days_key,
  points_key = unpack(KEYS)
local token, from_id, to_id, to_offset, analysed, dead, keep_from, anomalies_max, dead_letters_max, group, witness_id,
  witness_nonce, rules_version, requires_drained, alerts_max, feed_max, shadowed_max, threshold, window_min,
  analyzed_at, judged_by_version, time_commits, step = unpack(ARGV, 1, 23)
local next_list = list_reader(24)
local entries = next_list('id')
local rows = next_list('key', 'row')
local tails = next_list('key', 'tail')
local memories = next_list('key', 'memory')
local analyses = next_list('key', 'analysis')
local anomalies = next_list('analysis')
local dead_letters = next_list('id', 'reason', 'samples')
local verdicts = next_list('id', 'findings', 'judgements', 'policies', 'rests')
local opened = next_list('id', 'opening', 'opened_at', 'opened_before', 'notify_after_ms', 'key', 'cause', 'rule')
local ended = next_list('id', 'alert_end', 'resolved_at', 'key', 'cause', 'opened_at')
local timers = next_list('key', 'at')
local counts = next_list('name', 'by')
local shadowed = next_list('rule', 'analysis')
local evicted = next_list('key', 'shadow', 'deletion')
local refused = next_list('key', 'at')
local open_buckets = next_list('key', 'bytes')
local new_rings = next_list('ring', 'key', 'size')
local hours_writes = next_list('key', 'offset', 'records')
local days_writes = next_list('key', 'offset', 'records')
local points = next_list('analysis')

local POINTS_TTL_MS = 86400000

local function is_count(text) return not text or text:match('^%d+$') ~= nil end

-- Returns a reply when the commit must not be applied.
local function hindrance()
  if redis.call('GET', lease_key) ~= token then return { 'fenced' } end
  local stored = redis.call('HMGET', checkpoint_key, 'id', 'analysed', 'dead', 'time_commits')
  -- HINCRBY would fail after the first writes.
  if not (is_count(stored[2]) and is_count(stored[3]) and is_count(stored[4])) then
    return { 'type', checkpoint_key }
  end
  local checkpoint = stored[1] or '0-0'
  -- Commits without entries leave the checkpoint as it is, so a loss of them shows only here.
  local has_lost = time_commits ~= '' and time_commits ~= (stored[4] or '0')
  if entries.count == 0 then
    if checkpoint ~= from_id or has_lost then return { 'stale', checkpoint } end
    local next_entry = requires_drained == '1' and redis.call('XRANGE', samples_key, '(' .. from_id, '+', 'COUNT', 1)[1]
    return next_entry and { 'gap', next_entry[1] }
  end
  local first_id = each(entries)()
  if checkpoint == to_id then return { 'already' } end
  -- Applied entries are kept for a while, and are delivered again when an operator moves the group.
  if checkpoint ~= from_id or has_lost or not is_after(first_id, from_id) then return { 'stale', checkpoint } end
  if witness_id ~= '' then
    -- After a failover that lost entries, what was read may be gone or another entry have its id.
    local witness = redis.call('XRANGE', samples_key, witness_id, witness_id)[1]
    if not witness or (field(witness[2], 'r') or '') ~= witness_nonce then return { 'stale', checkpoint } end
  end
  local skipped = redis.call('XRANGE', samples_key, '(' .. from_id, '(' .. first_id, 'COUNT', 1)
  if skipped[1] then return { 'gap', skipped[1][1] } end
  -- What a former owner read in the meantime is pending and not in the run. Offsets do not reveal
  -- it if it was added by hand. (pcall: the group may be gone, which does no harm.)
  local pending = redis.pcall('XPENDING', samples_key, group, '(' .. from_id, to_id, entries.count + 1)
  local at = entries.first
  for _, row in ipairs(pending) do
    while at <= entries.last and ARGV[at] ~= row[1] do at = at + 1 end
    if at > entries.last then return { 'gap', row[1] } end
  end
end

-- Returns a reply when a key has another type than the commit needs.
local function type_fault()
  -- A check does not know what will be written.
  local function writes(list) return step == 'check' or list.count > 0 end
  local types = {
    [windows_key] = 'hash', [window_tails_key] = 'hash', [guard_memories_key] = 'hash', [last_analysis_key] = 'hash',
    [anomalies_key] = 'stream', [dead_letters_key] = 'stream', [verdicts_key] = 'stream',
  }
  if writes(opened) or writes(ended) then
    types[alerts_key], types[alerts_firing_key], types[alerts_resolved_key] = 'hash', 'zset', 'zset'
    types[alert_feed_key], types[notification_checks_key] = 'stream', 'zset'
  end
  if writes(timers) then types[timers_key] = 'zset' end
  if writes(counts) then types[rule_counts_key] = 'hash' end
  if writes(open_buckets) or writes(evicted) then types[aggregates_key] = 'hash' end
  if writes(shadowed) then types[shadowed_key] = 'stream' end
  if writes(points) then types[points_key] = 'stream' end
  if writes(evicted) or writes(refused) then types[keys_key] = 'hash' end
  if writes(evicted) then
    types[key_owners_key], types[key_deletions_key], types[timers_key] = 'hash', 'hash', 'zset'
  end
  for key, wanted in pairs(types) do
    local found = redis.call('TYPE', key).ok
    if found ~= wanted and found ~= 'none' then return { 'type', key } end
  end
end

-- A transaction cannot be rolled back when its script is denied a command.
local function denied_command()
  if not redis.acl_check_cmd then return end
  for _, command in ipairs({
    { 'XACK', samples_key, group, to_id }, { 'HSET', checkpoint_key, 'id', to_id },
    { 'HINCRBY', checkpoint_key, 'analysed', 0 }, { 'XADD', anomalies_key, '*', 'a', '' },
    { 'XTRIM', samples_key, 'MINID', to_id },
  }) do
    if not redis.acl_check_cmd(unpack(command)) then return { 'denied', command[1] } end
  end
end

if step ~= 'apply' then
  local refusal = hindrance() or type_fault() or step == 'check' and (denied_command() or { 'ready' })
  if refusal then return refusal end
end

local now_ms = clock_ms()

local acknowledged = 0
in_parts(entries, function(first, last)
  acknowledged = acknowledged + redis.call('XACK', samples_key, group, unpack(ARGV, first, last))
end)
if acknowledged < entries.count then
  -- The group was sent back after they had been read: it must not deliver them again.
  for _, info in ipairs(redis.pcall('XINFO', 'GROUPS', samples_key)) do
    if field(info, 'name') == group and is_after(to_id, field(info, 'last-delivered-id')) then
      redis.call('XGROUP', 'SETID', samples_key, group, to_id)
    end
  end
end

local hashes = {
  [windows_key] = rows, [window_tails_key] = tails, [guard_memories_key] = memories, [last_analysis_key] = analyses,
  [aggregates_key] = open_buckets,
}
for key, list in pairs(hashes) do
  in_parts(list, function(first, last) redis.call('HSET', key, unpack(ARGV, first, last)) end)
end
-- Rings of a key are not among KEYS: they are in the same slot, and most commits write to few of
-- all keys.
local rings = { hours = aggregates_hours_key .. ':', days = aggregates_days_key .. ':' }
for ring, key, size in each(new_rings) do
  -- Without what may be there, because Redis reserves twice the length for a string that grows.
  redis.call('DEL', rings[ring] .. key)
  redis.call('SETRANGE', rings[ring] .. key, size - 1, '\0')
end
-- pcall: another program may have stored something there, which must not break the commit.
for key, offset, records in each(hours_writes) do redis.pcall('SETRANGE', rings.hours .. key, offset, records) end
for key, offset, records in each(days_writes) do redis.pcall('SETRANGE', rings.days .. key, offset, records) end
for at = anomalies.first, anomalies.last do
  redis.call('XADD', anomalies_key, 'MAXLEN', '~', anomalies_max, '*', 'a', ARGV[at])
end
for id, reason, samples in each(dead_letters) do
  -- Under the entry's own id, so that its receipt finds it; under the next id if that is too late.
  local added = redis.pcall('XADD', dead_letters_key, 'MAXLEN', '~', dead_letters_max, id, 'reason', reason, 's', samples)
  if added.err then
    redis.call('XADD', dead_letters_key, 'MAXLEN', '~', dead_letters_max, '*', 'reason', reason, 's', samples)
  end
end
for id, findings, judgements, policies, rests in each(verdicts) do
  -- pcall: an id that was added first must not break the commit; verdicts are a convenience.
  if judgements == '' and rests == '' then
    redis.pcall('XADD', verdicts_key, id, 'f', findings, 't', threshold, 'm', window_min, 'a', analyzed_at,
      'v', judged_by_version)
  else
    local fields = { 'f', findings, 't', threshold, 'm', window_min, 'a', analyzed_at, 'v', judged_by_version }
    if judgements ~= '' then
      fields[11], fields[12], fields[13], fields[14] = 'j', judgements, 'p', policies
    end
    if rests ~= '' then
      fields[#fields + 1], fields[#fields + 2] = 'r', rests
    end
    redis.pcall('XADD', verdicts_key, id, unpack(fields))
  end
end

-- Counts alerts that opened, and stores with each how many similar ones its key had before. Many
-- keys can open one at the same time, so they are read and written together.
local function count_by_key(alerts)
  local keys, lists, similar, changed = {}, {}, {}, {}
  for i, alert in ipairs(alerts) do keys[i] = alert.key end
  for i, text in ipairs(redis.call('HMGET', key_alerts_key, unpack(keys))) do lists[keys[i]] = parse_counts(text) end
  for _, alert in ipairs(alerts) do
    local counts = recent_counts(lists[alert.key], alert.day)
    similar[#similar + 1] = 'h:' .. alert.id
    similar[#similar + 1] = similar_in(counts, alert.cause)
    change_counts(counts, alert.day, alert.cause .. ':' .. alert.rule, 1, 0, 0)
    lists[alert.key] = counts
  end
  for key, counts in pairs(lists) do
    changed[#changed + 1] = key
    changed[#changed + 1] = cjson.encode(counts)
  end
  redis.call('HSET', alerts_key, unpack(similar))
  redis.call('HSET', key_alerts_key, unpack(changed))
end

local function count_by_rule(rule, days)
  local stored = redis.call('HGET', rule_alerts_key, rule)
  local counts = parse_counts(stored)
  for day, count in pairs(days) do
    counts = recent_counts(counts, day)
    change_counts(counts, day, '', count, 0, 0)
  end
  if not stored then
    -- A new rule is rare: the time to drop those without alerts, which may have been deleted.
    local newest = counts[#counts][1]
    for _, other in ipairs(redis.call('HKEYS', rule_alerts_key)) do
      local theirs = parse_counts(redis.call('HGET', rule_alerts_key, other))
      if #recent_counts(theirs, newest) == 0 then redis.call('HDEL', rule_alerts_key, other) end
    end
  end
  redis.call('HSET', rule_alerts_key, rule, cjson.encode(counts))
end

local to_count, opened_by_rule = {}, {}
local COUNTED_TOGETHER = 1000
-- pcall: counts are a convenience, and what another program stored there must not break the commit.
local function count_openings()
  if #to_count > 0 then pcall(count_by_key, to_count) end
  to_count = {}
end

for id, opening, opened_at, opened_before, notify_after_ms, key, cause, rule in each(opened) do
  -- It exists already when the effects of elapsed time were committed twice.
  if redis.call('HSETNX', alerts_key, 'o:' .. id, opening) == 1 then
    redis.call('ZADD', alerts_firing_key, opened_at, id)
    schedule_check(notification_checks_key, id, now_ms + tonumber(notify_after_ms))
    redis.call('XADD', alert_feed_key, 'MAXLEN', '~', feed_max, '*',
      'k', 'opened', 'a', id, 'key', key, 'c', cause, 'o', opened_at, 'b', opened_before)
    if key ~= '' then
      local day, days = day_of(opened_at), opened_by_rule[rule] or {}
      to_count[#to_count + 1] = { id = id, key = key, cause = cause, rule = rule, day = day }
      if #to_count == COUNTED_TOGETHER then count_openings() end
      opened_by_rule[rule], days[day] = days, (days[day] or 0) + 1
    end
  end
end
count_openings()
for rule, days in pairs(opened_by_rule) do pcall(count_by_rule, rule, days) end
for id, alert_end, resolved_at, key, cause, opened_at in each(ended) do
  if redis.call('ZREM', alerts_firing_key, id) == 1 then
    redis.call('HSET', alerts_key, 'e:' .. id, alert_end)
    redis.call('ZADD', alerts_resolved_key, resolved_at, id)
    schedule_check(notification_checks_key, id, now_ms)
    redis.call('XADD', alert_feed_key, 'MAXLEN', '~', feed_max, '*',
      'k', 'resolved', 'a', id, 'key', key, 'c', cause, 'o', opened_at, 'r', resolved_at)
  end
end
if ended.count > 0 then
  local excess = redis.call('ZCARD', alerts_resolved_key) - tonumber(alerts_max)
  local oldest = excess > 0 and redis.call('ZRANGE', alerts_resolved_key, 0, excess - 1) or {}
  for _, id in ipairs(oldest) do
    redis.call('HDEL', alerts_key,
      'o:' .. id, 'e:' .. id, 'a:' .. id, 's:' .. id, 't:' .. id, 'n:' .. id, 'h:' .. id, 'f:' .. id)
    redis.call('ZREM', alerts_resolved_key, id)
    redis.call('ZREM', notification_checks_key, id)
  end
end

for key, at in each(timers) do
  if at == '' then
    redis.call('ZREM', timers_key, key)
  else
    redis.call('ZADD', timers_key, at, key)
  end
end
for name, by in each(counts) do
  -- pcall: what another program stored there begins again; it must not break the commit.
  local sum = redis.pcall('HINCRBY', rule_counts_key, name, by)
  if type(sum) == 'table' then redis.call('HSET', rule_counts_key, name, by) end
end
for rule, analysis in each(shadowed) do
  redis.call('XADD', shadowed_key, 'MAXLEN', '~', shadowed_max, '*', 'r', rule, 'a', analysis)
end

for key, at in each(refused) do
  local registered = redis.call('HGET', keys_key, key)
  local seen, owner = (registered or ''):match('^(%d+) (.*)$')
  if seen and tonumber(seen) < tonumber(at) then redis.call('HSET', keys_key, key, at .. ' ' .. owner) end
  if not registered then
    -- The sample crossed the eviction of its key. Without an analysis only this lists the key.
    redis.call('HSET', keys_key, key, at .. ' ')
    redis.pcall('HINCRBY', key_owners_key, '', 1)
  end
end
if points.count > 0 then
  local analyses = '[' .. table.concat(ARGV, ',', points.first, points.last) .. ']'
  redis.call('XADD', points_key, '*', 'n', points.count, 'a', analyses)
  -- Until the sink has written them. If no analyzer has a sink any more, they end by themselves.
  redis.call('PEXPIRE', points_key, POINTS_TTL_MS)
end
local evicted_count = 0
for key, shadow, deletion in each(evicted) do
  local registered = redis.call('HGET', keys_key, key)
  local removed = redis.call('HDEL', keys_key, key) + redis.call('HDEL', windows_key, key, shadow)
    + redis.call('HDEL', last_analysis_key, key)
  redis.call('HDEL', guard_memories_key, key, shadow)
  redis.call('HDEL', window_tails_key, key, shadow)
  redis.call('HDEL', aggregates_key, key)
  redis.call('DEL', rings.hours .. key, rings.days .. key)
  redis.call('ZREM', timers_key, key)
  -- pcall: they are a convenience.
  redis.pcall('HDEL', key_alerts_key, key)
  if removed > 0 then
    evicted_count = evicted_count + 1
    -- pcall: a count that another program stored must not break the commit.
    if deletion ~= '' then redis.pcall('HINCRBY', key_deletions_key, 'n:' .. deletion, 1) end
    local owner = registered and registered:match('^%d+ (.*)$')
    local rest = owner and redis.pcall('HINCRBY', key_owners_key, owner, -1)
    if rest and (type(rest) == 'table' or rest <= 0) then redis.call('HDEL', key_owners_key, owner) end
  end
end
if evicted_count > 0 then redis.pcall('HINCRBY', checkpoint_key, 'evicted', evicted_count) end

if entries.count == 0 then
  redis.call('HSET', checkpoint_key, 'rules', rules_version)
  redis.call('HINCRBY', checkpoint_key, 'time_commits', 1)
  return { 'ok', now_ms, evicted.count > 0 and evicted_count or nil }
end
redis.call('XTRIM', verdicts_key, 'MINID', keep_from)
redis.call('HSET', checkpoint_key, 'id', to_id, 'offset', to_offset, 'attempt', '', 'rules', rules_version)
redis.call('HINCRBY', checkpoint_key, 'analysed', analysed)
if dead ~= '0' then redis.call('HINCRBY', checkpoint_key, 'dead', dead) end
redis.call('XTRIM', samples_key, 'MINID', keep_from)
return { 'ok', now_ms }
