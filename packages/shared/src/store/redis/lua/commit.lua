#!lua flags=allow-oom
-- Purpose: applies the effects of a run of entries, all of them or none. Everything is checked before the first write,
--          because a script has no way back. It may run at the memory limit: committing is what frees memory.
-- KEYS:    samples, lease, checkpoint, windows, last_analysis, anomalies, dead, verdicts of one partition
-- ARGV:    1 lease token, 2 checkpoint id it starts from, 3 checkpoint id it leads to, 4 offset it leads to,
--          5 samples analysed, 6 samples dead, 7 first id to keep in samples, 8 first id to keep in verdicts,
--          9 most anomalies to keep, 10 most dead entries to keep, 11 group,
--          12 id of an entry of the run that must still be there ('' for none), 13 its nonce,
--          14 to 18 how many entries, keys, anomalies, dead entries and verdicts follow, then these:
--          entry ids; (key, window) pairs; (key, analysis) pairs; anomalies; (id, reason, samples) of dead entries;
--          (id, samples, findings, threshold, least window, time) of verdicts
-- Returns: {'ok', Unix ms} or {'already'} or {'stale', checkpoint id} or {'gap', entry id} or {'fenced'} or {'type', key}
local samples_key, lease_key, checkpoint_key = KEYS[1], KEYS[2], KEYS[3]
local windows_key, last_key, anomalies_key, dead_key, verdicts_key = KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local token, from_id, to_id, to_offset = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local analysed, dead, keep_samples, keep_verdicts = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local anomalies_max, dead_max, group = ARGV[9], ARGV[10], ARGV[11]
local witness_id, witness_nonce = ARGV[12], ARGV[13]
local entry_count, key_count, anomaly_count = tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16])
local dead_count, verdict_count = tonumber(ARGV[17]), tonumber(ARGV[18])
local at = 19

-- Lua's stack holds 8,000 values, so long lists go in parts; even, so that no pair is torn.
local PART = 4000
local function in_parts(first, length, call)
  for part = first, first + length - 1, PART do
    call(part, math.min(part + PART, first + length) - 1)
  end
end

if redis.call('GET', lease_key) ~= token then return { 'fenced' } end
local checkpoint = redis.call('HGET', checkpoint_key, 'id') or '0-0'
if checkpoint == to_id then return { 'already' } end
if checkpoint ~= from_id then return { 'stale', checkpoint } end
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
-- what somebody added by hand has none.
local pending = redis.call('XPENDING', samples_key, group, '(' .. from_id, to_id, entry_count + 1)
local seen = at
for _, row in ipairs(pending) do
  while seen < at + entry_count and ARGV[seen] ~= row[1] do seen = seen + 1 end
  if seen == at + entry_count then return { 'gap', row[1] } end
end
local types = {
  [windows_key] = 'hash', [last_key] = 'hash',
  [anomalies_key] = 'stream', [dead_key] = 'stream', [verdicts_key] = 'stream',
}
for key, wanted in pairs(types) do
  local found = redis.call('TYPE', key).ok
  if found ~= wanted and found ~= 'none' then return { 'type', key } end
end

in_parts(at, entry_count, function(first, last)
  redis.call('XACK', samples_key, group, unpack(ARGV, first, last))
end)
at = at + entry_count
in_parts(at, 2 * key_count, function(first, last)
  redis.call('HSET', windows_key, unpack(ARGV, first, last))
end)
at = at + 2 * key_count
in_parts(at, 2 * key_count, function(first, last)
  redis.call('HSET', last_key, unpack(ARGV, first, last))
end)
at = at + 2 * key_count
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
for i = at, at + 6 * verdict_count - 1, 6 do
  -- pcall: an id that somebody else put there first must not tear the commit; these verdicts are a convenience.
  redis.pcall('XADD', verdicts_key, ARGV[i], 's', ARGV[i + 1], 'f', ARGV[i + 2], 't', ARGV[i + 3], 'm', ARGV[i + 4], 'a', ARGV[i + 5])
end
redis.call('XTRIM', verdicts_key, 'MINID', keep_verdicts)
redis.call('HSET', checkpoint_key, 'id', to_id, 'offset', to_offset, 'attempt', '')
redis.call('HINCRBY', checkpoint_key, 'analysed', analysed)
if dead ~= '0' then redis.call('HINCRBY', checkpoint_key, 'dead', dead) end
redis.call('XTRIM', samples_key, 'MINID', keep_samples)
local time = redis.call('TIME')
return { 'ok', time[1] * 1000 + math.floor(time[2] / 1000) }
