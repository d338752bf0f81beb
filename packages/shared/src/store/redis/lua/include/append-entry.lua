-- Returns the samples accepted and not applied, and the samples accepted as the string that Redis
-- stores: the entry's offset must not pass through a float's formatting.
local function backlog_of(accepted_key, checkpoint_key)
  local accepted = redis.call('GET', accepted_key) or '0'
  local applied = redis.call('HGET', checkpoint_key, 'offset') or '0'
  return tonumber(accepted) - tonumber(applied), accepted
end

-- Appends one entry, counts its samples as accepted and returns its id. `traces` may be nil.
local function append_entry(samples_key, accepted_key, samples, count, offset, nonce, traces)
  local id
  if traces then
    id = redis.call('XADD', samples_key, '*', 's', samples, 'n', count, 'o', offset, 'r', nonce, 't', traces)
  else
    id = redis.call('XADD', samples_key, '*', 's', samples, 'n', count, 'o', offset, 'r', nonce)
  end
  redis.call('INCRBY', accepted_key, count)
  return id
end
