-- Purpose: reads flat lists of names and values, in which Redis returns entries and XINFO.
-- KEYS:    none
-- ARGV:    none
-- Returns: nothing; defines field(flat, name), which returns the last value with this name or nil

local function field(flat, name)
  for i = #flat - 1, 1, -2 do
    if flat[i] == name then return flat[i + 1] end
  end
  return nil
end
