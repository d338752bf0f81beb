-- A list in ARGV is the number of its items, then the fields of each item. Returns a function that
-- reads the next list, given the names of its fields; the first list begins at `first`.
local function list_reader(first)
  local at = first
  return function(...)
    local list = { first = at + 1, count = tonumber(ARGV[at]), arity = select('#', ...) }
    at = list.first + list.count * list.arity
    list.last = at - 1
    return list
  end
end

-- Iterates over a list: for field, field, ... in each(list).
local function each(list)
  local at = list.first - list.arity
  return function()
    at = at + list.arity
    if at <= list.last then return unpack(ARGV, at, at + list.arity - 1) end
  end
end

-- Calls back with the first and last index of each part of a list. Lua's stack holds 8,000 values,
-- so long lists go to Redis in parts, of even size so that no pair is torn.
local PART = 4000
local function in_parts(list, call)
  for part = list.first, list.last, PART do
    call(part, math.min(part + PART - 1, list.last))
  end
end
