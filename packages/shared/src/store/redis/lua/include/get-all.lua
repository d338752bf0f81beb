-- (pcall: a user of an earlier version may lack the right.)
local function get_all(keys, last)
  local found = redis.pcall('MGET', unpack(keys, 1, last))
  if not found.err then return found end
  found = {}
  for i = 1, last do found[i] = redis.call('GET', keys[i]) end
  return found
end
