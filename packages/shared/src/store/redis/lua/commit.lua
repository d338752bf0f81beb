#!lua flags=allow-oom
-- Purpose: applies the effects of a run of entries, or of time going by (no entries), all of them or none. Everything is checked before the first write,
--          because a script has no way back. It may run at the memory limit: committing is what frees memory.
-- KEYS:    samples, lease, checkpoint, windows, window_tails, last_analysis, anomalies, dead, verdicts, alerts,
--          alerts_firing, alerts_resolved, alert_feed, notices, due, rule_counts, shadowed of one partition
-- ARGV:    1 lease token, 2 checkpoint id it starts from, 3 checkpoint id it leads to, 4 offset it leads to,
--          5 samples analysed, 6 samples dead, 7 first id to keep in samples and in verdicts,
--          8 most anomalies to keep, 9 most dead entries to keep, 10 group,
--          11 id of an entry of the run that must still be there ('' for none), 12 its nonce,
--          13 version of the rules that judged, 14 '1' if nothing may stand after the checkpoint (without entries only),
--          15 most resolved alerts to keep, 16 most of their feed, 17 most analyses of rules that are tried out,
--          18 to 29 how many entries, rows, tails, analyses, anomalies, dead entries, verdicts, opened alerts, ended alerts, due
--          keys, counts and analyses of rules that are tried out follow, then these:
--          entry ids; (key, row), (key, tail) and (key, analysis) pairs; anomalies; (id, reason, samples) of dead entries;
--          (id, findings, threshold, least window, time, version of the rules, judgements or '', policies) of verdicts;
--          (id, opening, when it opened, when the one before did, ms after which receivers may be told, key, cause) of opened alerts;
--          (id, end, when it was resolved, key, cause, when it opened) of ended ones; (key, time or '') of due keys;
--          (name, what to add) of counts; (rule, analysis) of rules that are tried out
-- Returns: {'ok', Unix ms} or {'already'} or {'stale', checkpoint id} or {'gap', entry id} or {'fenced'} or {'type', key}
local samples_key, lease_key, checkpoint_key = KEYS[1], KEYS[2], KEYS[3]
local windows_key, tails_key, last_key = KEYS[4], KEYS[5], KEYS[6]
local anomalies_key, dead_key, verdicts_key = KEYS[7], KEYS[8], KEYS[9]
local alerts_key, firing_key, resolved_key, feed_key = KEYS[10], KEYS[11], KEYS[12], KEYS[13]
local notices_key, due_key, counts_key, shadowed_key = KEYS[14], KEYS[15], KEYS[16], KEYS[17]
local token, from_id, to_id, to_offset = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local analysed, dead, keep_from = ARGV[5], ARGV[6], ARGV[7]
local anomalies_max, dead_max, group = ARGV[8], ARGV[9], ARGV[10]
local witness_id, witness_nonce = ARGV[11], ARGV[12]
local rules_version, requires_drained = ARGV[13], ARGV[14] == '1'
local alerts_max, feed_max, shadowed_max = tonumber(ARGV[15]), ARGV[16], ARGV[17]
local entry_count, row_count, tail_count = tonumber(ARGV[18]), tonumber(ARGV[19]), tonumber(ARGV[20])
local analysis_count, anomaly_count = tonumber(ARGV[21]), tonumber(ARGV[22])
local dead_count, verdict_count = tonumber(ARGV[23]), tonumber(ARGV[24])
local opened_count, ended_count, due_count = tonumber(ARGV[25]), tonumber(ARGV[26]), tonumber(ARGV[27])
local count_count, shadowed_count = tonumber(ARGV[28]), tonumber(ARGV[29])
local at = 30

-- Lua's stack holds 8,000 values, so long lists go in parts; even, so that no pair is torn.
local PART = 4000
local function in_parts(first, length, call)
  for part = first, first + length - 1, PART do
    call(part, math.min(part + PART, first + length) - 1)
  end
end

-- Ids compare as two numbers; equal milliseconds leave it to the sequence.
local function is_after(a, b)
  local a_ms, a_seq = a:match('^(%d+)-(%d+)$')
  local b_ms, b_seq = b:match('^(%d+)-(%d+)$')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  if a_ms ~= b_ms then return a_ms > b_ms end
  return tonumber(a_seq) > tonumber(b_seq)
end

if redis.call('GET', lease_key) ~= token then return { 'fenced' } end
local checkpoint = redis.call('HGET', checkpoint_key, 'id') or '0-0'
if entry_count == 0 then
  if checkpoint ~= from_id then return { 'stale', checkpoint } end
  local next_entry = requires_drained and redis.call('XRANGE', samples_key, '(' .. from_id, '+', 'COUNT', 1)[1]
  if next_entry then return { 'gap', next_entry[1] } end
else
  if checkpoint == to_id then return { 'already' } end
  -- Applied entries are kept for a while, and may be delivered again when somebody moves the group.
  if checkpoint ~= from_id or not is_after(ARGV[at], from_id) then return { 'stale', checkpoint } end
  if witness_id ~= '' then
    -- After a fail-over that lost the newest entries, what was read may be gone, or another entry may have its id.
    local witness = redis.call('XRANGE', samples_key, witness_id, witness_id)[1]
    if not witness then return { 'stale', checkpoint } end
    local nonce = ''
    for i = 1, #witness[2], 2 do
      if witness[2][i] == 'r' then nonce = witness[2][i + 1] end
    end
    if nonce ~= witness_nonce then return { 'stale', checkpoint } end
  end
  local skipped = redis.call('XRANGE', samples_key, '(' .. from_id, '(' .. ARGV[at], 'COUNT', 1)
  if skipped[1] then return { 'gap', skipped[1][1] } end
  -- What a former owner read in the meantime is pending and not in the run. Its offset would betray an entry of the gateway's;
  -- what somebody added by hand has none. (pcall: the group may be gone, and that hinders nothing.)
  local pending = redis.pcall('XPENDING', samples_key, group, '(' .. from_id, to_id, entry_count + 1)
  local seen = at
  for _, row in ipairs(pending) do
    while seen < at + entry_count and ARGV[seen] ~= row[1] do seen = seen + 1 end
    if seen == at + entry_count then return { 'gap', row[1] } end
  end
end
local types = {
  [windows_key] = 'hash', [tails_key] = 'hash', [last_key] = 'hash',
  [anomalies_key] = 'stream', [dead_key] = 'stream', [verdicts_key] = 'stream',
}
if opened_count + ended_count > 0 then
  types[alerts_key], types[firing_key], types[resolved_key] = 'hash', 'zset', 'zset'
  types[feed_key], types[notices_key] = 'stream', 'zset'
end
if due_count > 0 then types[due_key] = 'zset' end
if count_count > 0 then types[counts_key] = 'hash' end
if shadowed_count > 0 then types[shadowed_key] = 'stream' end
for key, wanted in pairs(types) do
  local found = redis.call('TYPE', key).ok
  if found ~= wanted and found ~= 'none' then return { 'type', key } end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local acknowledged = 0
in_parts(at, entry_count, function(first, last)
  acknowledged = acknowledged + redis.call('XACK', samples_key, group, unpack(ARGV, first, last))
end)
if acknowledged < entry_count then
  -- The group was sent back after they had been read: it must not deliver again what is applied now.
  for _, info in ipairs(redis.pcall('XINFO', 'GROUPS', samples_key)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields['name'] == group and is_after(to_id, fields['last-delivered-id']) then
      redis.call('XGROUP', 'SETID', samples_key, group, to_id)
    end
  end
end
at = at + entry_count
for _, hash in ipairs({ { windows_key, row_count }, { tails_key, tail_count }, { last_key, analysis_count } }) do
  in_parts(at, 2 * hash[2], function(first, last)
    redis.call('HSET', hash[1], unpack(ARGV, first, last))
  end)
  at = at + 2 * hash[2]
end
for i = at, at + anomaly_count - 1 do
  redis.call('XADD', anomalies_key, 'MAXLEN', '~', anomalies_max, '*', 'a', ARGV[i])
end
at = at + anomaly_count
for i = at, at + 3 * dead_count - 1, 3 do
  -- Under the entry's own id, so that it can be found by its receipt; if somebody put a later id there, under the next one.
  local fields = { 'reason', ARGV[i + 1], 's', ARGV[i + 2] }
  local added = redis.pcall('XADD', dead_key, 'MAXLEN', '~', dead_max, ARGV[i], unpack(fields))
  if added.err then redis.call('XADD', dead_key, 'MAXLEN', '~', dead_max, '*', unpack(fields)) end
end
at = at + 3 * dead_count
for i = at, at + 8 * verdict_count - 1, 8 do
  local fields = { 'f', ARGV[i + 1], 't', ARGV[i + 2], 'm', ARGV[i + 3], 'a', ARGV[i + 4], 'v', ARGV[i + 5] }
  if ARGV[i + 6] ~= '' then
    for _, field in ipairs({ 'j', ARGV[i + 6], 'p', ARGV[i + 7] }) do fields[#fields + 1] = field end
  end
  -- pcall: an id that somebody else put there first must not tear the commit; these verdicts are a convenience.
  redis.pcall('XADD', verdicts_key, ARGV[i], unpack(fields))
end
at = at + 8 * verdict_count

-- A notice that is there already moves earlier, always: who has read it finds out that the alert has changed since.
local function notice(id, when)
  local before = redis.call('ZSCORE', notices_key, id)
  redis.call('ZADD', notices_key, before and math.min(when, before - 1) or when, id)
end
for i = at, at + 7 * opened_count - 1, 7 do
  local id, opened_at, before, key, cause = ARGV[i], ARGV[i + 2], ARGV[i + 3], ARGV[i + 5], ARGV[i + 6]
  -- Known already: time going by was committed twice.
  if redis.call('HSETNX', alerts_key, 'o:' .. id, ARGV[i + 1]) == 1 then
    redis.call('ZADD', firing_key, opened_at, id)
    notice(id, now + tonumber(ARGV[i + 4]))
    redis.call('XADD', feed_key, 'MAXLEN', '~', feed_max, '*',
      'k', 'opened', 'a', id, 'key', key, 'c', cause, 'o', opened_at, 'b', before)
  end
end
at = at + 7 * opened_count
for i = at, at + 6 * ended_count - 1, 6 do
  local id, resolved_at, key, cause, opened_at = ARGV[i], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  if redis.call('ZREM', firing_key, id) == 1 then
    redis.call('HSET', alerts_key, 'e:' .. id, ARGV[i + 1])
    redis.call('ZADD', resolved_key, resolved_at, id)
    notice(id, now)
    redis.call('XADD', feed_key, 'MAXLEN', '~', feed_max, '*',
      'k', 'resolved', 'a', id, 'key', key, 'c', cause, 'o', opened_at, 'r', resolved_at)
  end
end
at = at + 6 * ended_count
if ended_count > 0 then
  local excess = redis.call('ZCARD', resolved_key) - alerts_max
  local oldest = excess > 0 and redis.call('ZRANGE', resolved_key, 0, excess - 1) or {}
  for _, id in ipairs(oldest) do
    redis.call('HDEL', alerts_key, 'o:' .. id, 'e:' .. id, 'a:' .. id, 's:' .. id, 't:' .. id)
    redis.call('ZREM', resolved_key, id)
    redis.call('ZREM', notices_key, id)
  end
end
for i = at, at + 2 * due_count - 1, 2 do
  if ARGV[i + 1] == '' then
    redis.call('ZREM', due_key, ARGV[i])
  else
    redis.call('ZADD', due_key, ARGV[i + 1], ARGV[i])
  end
end
at = at + 2 * due_count
for i = at, at + 2 * count_count - 1, 2 do redis.call('HINCRBY', counts_key, ARGV[i], ARGV[i + 1]) end
at = at + 2 * count_count
for i = at, at + 2 * shadowed_count - 1, 2 do
  redis.call('XADD', shadowed_key, 'MAXLEN', '~', shadowed_max, '*', 'r', ARGV[i], 'a', ARGV[i + 1])
end
if entry_count == 0 then
  redis.call('HSET', checkpoint_key, 'rules', rules_version)
  return { 'ok', now }
end

redis.call('XTRIM', verdicts_key, 'MINID', keep_from)
redis.call('HSET', checkpoint_key, 'id', to_id, 'offset', to_offset, 'attempt', '', 'rules', rules_version)
redis.call('HINCRBY', checkpoint_key, 'analysed', analysed)
if dead ~= '0' then redis.call('HINCRBY', checkpoint_key, 'dead', dead) end
redis.call('XTRIM', samples_key, 'MINID', keep_from)
return { 'ok', now }
