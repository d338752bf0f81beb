#!lua flags=allow-oom
-- Purpose: adds, replaces or deletes one API key, and changes the revision that gateways poll.
--          Bounded, and needed while memory is full: a leaked key must be revoked then too.
-- KEYS:    api keys by id, revision, last uses by id
-- ARGV:    id, mode (add, replace or remove), the record before (for replace), the record, the new
--          revision, most keys to keep
-- Returns: 1; 0 when the key exists (add), differs (replace) or does not exist (remove); -1 when
--          there are too many
local keys_key, revision_key, uses_key = KEYS[1], KEYS[2], KEYS[3]
local id, mode, before, record, revision, keys_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local found = redis.call('HGET', keys_key, id)
if mode == 'add' then
  if found then return 0 end
  if redis.call('HLEN', keys_key) >= tonumber(keys_max) then return -1 end
elseif not found or (mode == 'replace' and found ~= before) then
  return 0
end
if mode == 'remove' then
  redis.call('HDEL', keys_key, id)
  redis.call('HDEL', uses_key, id)
else
  redis.call('HSET', keys_key, id, record)
end
redis.call('HSET', revision_key, 'revision', revision)
return 1
