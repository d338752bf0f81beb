#!lua flags=allow-oom
-- Purpose: applies the effects of a run of entries, all of them or none. Everything is checked before the first write,
--          because a script has no way back. It may run at the memory limit: committing is what frees memory.
-- KEYS:    samples, lease, checkpoint, windows, window_tails, last_analysis, anomalies, dead, verdicts of one partition
-- ARGV:    1 lease token, 2 checkpoint id it starts from, 3 checkpoint id it leads to, 4 offset it leads to,
--          5 samples analysed, 6 samples dead, 7 first id to keep in samples and in verdicts,
--          8 most anomalies to keep, 9 most dead entries to keep, 10 group,
--          11 id of an entry of the run that must still be there ('' for none), 12 its nonce,
--          13 to 19 how many entries, rows, tails, analyses, anomalies, dead entries and verdicts follow, then these:
--          entry ids; (key, row), (key, tail) and (key, analysis) pairs; anomalies; (id, reason, samples) of dead entries;
--          (id, findings, threshold, least window, time) of verdicts
-- Returns: {'ok', Unix ms} or {'already'} or {'stale', checkpoint id} or {'gap', entry id} or {'fenced'} or {'type', key}
local samples_key, lease_key, checkpoint_key = KEYS[1], KEYS[2], KEYS[3]
local windows_key, tails_key, last_key = KEYS[4], KEYS[5], KEYS[6]
local anomalies_key, dead_key, verdicts_key = KEYS[7], KEYS[8], KEYS[9]
local token, from_id, to_id, to_offset = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local analysed, dead, keep_from = ARGV[5], ARGV[6], ARGV[7]
local anomalies_max, dead_max, group = ARGV[8], ARGV[9], ARGV[10]
local witness_id, witness_nonce = ARGV[11], ARGV[12]
local entry_count, row_count, tail_count = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local analysis_count, anomaly_count = tonumber(ARGV[16]), tonumber(ARGV[17])
local dead_count, verdict_count = tonumber(ARGV[18]), tonumber(ARGV[19])
local at = 20

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
local types = {
  [windows_key] = 'hash', [tails_key] = 'hash', [last_key] = 'hash',
  [anomalies_key] = 'stream', [dead_key] = 'stream', [verdicts_key] = 'stream',
}
for key, wanted in pairs(types) do
  local found = redis.call('TYPE', key).ok
  if found ~= wanted and found ~= 'none' then return { 'type', key } end
end

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
for i = at, at + 5 * verdict_count - 1, 5 do
  -- pcall: an id that somebody else put there first must not tear the commit; these verdicts are a convenience.
  redis.pcall('XADD', verdicts_key, ARGV[i], 'f', ARGV[i + 1], 't', ARGV[i + 2], 'm', ARGV[i + 3], 'a', ARGV[i + 4])
end
redis.call('XTRIM', verdicts_key, 'MINID', keep_from)
redis.call('HSET', checkpoint_key, 'id', to_id, 'offset', to_offset, 'attempt', '')
redis.call('HINCRBY', checkpoint_key, 'analysed', analysed)
if dead ~= '0' then redis.call('HINCRBY', checkpoint_key, 'dead', dead) end
redis.call('XTRIM', samples_key, 'MINID', keep_from)
local time = redis.call('TIME')
return { 'ok', time[1] * 1000 + math.floor(time[2] / 1000) }
