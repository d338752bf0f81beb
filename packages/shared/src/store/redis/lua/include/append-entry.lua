-- Appends one entry and counts its samples as accepted, unless the backlog is full. From `key` on,
-- KEYS has the samples, accepted and checkpoint of its partition; from `arg` on, ARGV has the
-- samples as JSON, their number, a nonce, and traceparents or ''.
-- Returns {'stored', entry id} or {'backlog-full', backlog in samples}.
local function append_entry(key, arg, backlog_max)
  local samples_key, accepted_key, checkpoint_key = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local samples, count, nonce, traces = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3]

  -- As Redis stores it: the entry's offset must not pass through a float's formatting.
  local accepted = redis.call('GET', accepted_key) or '0'
  local applied = redis.call('HGET', checkpoint_key, 'offset') or '0'
  local backlog = tonumber(accepted) - tonumber(applied)
  if backlog >= backlog_max then return { 'backlog-full', backlog } end

  local id
  if traces == '' then
    id = redis.call('XADD', samples_key, '*', 's', samples, 'n', count, 'o', accepted, 'r', nonce)
  else
    id = redis.call('XADD', samples_key, '*', 's', samples, 'n', count, 'o', accepted, 'r', nonce, 't', traces)
  end
  redis.call('INCRBY', accepted_key, count)
  return { 'stored', id }
end
