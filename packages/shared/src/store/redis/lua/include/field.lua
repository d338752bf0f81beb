-- Returns the last value of a name in a flat list, as Redis returns entries and XINFO; else nil.
local function field(flat, name)
  for i = #flat - 1, 1, -2 do
    if flat[i] == name then return flat[i + 1] end
  end
  return nil
end
