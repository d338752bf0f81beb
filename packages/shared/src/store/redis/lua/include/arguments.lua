-- Purpose: reads lists out of ARGV: each is the number of its items, then the fields of each item.
-- KEYS:    none
-- ARGV:    none
-- Returns: nothing; defines list_reader, each and in_parts

-- Returns a function that reads the next list, given the names of an item's fields; `first` is
-- where the first list begins.
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

-- Calls back with the places of the first and the last argument of each part of a list. Lua's stack
-- holds 8,000 values, so long lists go to Redis in parts; their size is even, so that no pair is
-- torn.
local PART = 4000
local function in_parts(list, call)
  for part = list.first, list.last, PART do
    call(part, math.min(part + PART - 1, list.last))
  end
end
