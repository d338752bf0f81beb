-- Alerts of a key or of a rule by the day on which they opened (alert-counts.ts): a hash field with
-- a list of {day, name, opened, useful, noise} as JSON. What another program stored there begins
-- again.
local COUNTED_DAYS, COUNTS_MAX = 30, 200

local function day_of(ms) return math.floor(tonumber(ms) / 86400000) end

local function is_alert_count(one)
  if type(one) ~= 'table' or type(one[2]) ~= 'string' then return false end
  for _, place in ipairs({ 1, 3, 4, 5 }) do
    if type(one[place]) ~= 'number' then return false end
  end
  return true
end

local function parse_counts(text)
  local is_json, stored = pcall(cjson.decode, text or '[]')
  local counts = {}
  for _, one in ipairs(is_json and type(stored) == 'table' and stored or {}) do
    if is_alert_count(one) then counts[#counts + 1] = one end
  end
  return counts
end

-- Returns the counts without old ones, and without those of a clock that was ahead.
local function recent_counts(counts, day)
  local recent = {}
  for _, one in ipairs(counts) do
    if one[1] > day - COUNTED_DAYS and one[1] <= day + 1 then recent[#recent + 1] = one end
  end
  while #recent >= COUNTS_MAX do table.remove(recent, 1) end
  return recent
end

-- Adds to the counts of a day; no day has fewer alerts than marks.
local function change_counts(counts, day, name, opened, useful, noise)
  local found
  for _, one in ipairs(counts) do
    if one[1] == day and one[2] == name then found = one end
  end
  if not found then
    found = { day, name, 0, 0, 0 }
    counts[#counts + 1] = found
  end
  found[4], found[5] = math.max(0, found[4] + useful), math.max(0, found[5] + noise)
  found[3] = math.max(found[3] + opened, found[4] + found[5])
end

-- Returns the alerts with a cause as JSON.
local function similar_in(counts, cause)
  local opened, useful, noise = 0, 0, 0
  for _, one in ipairs(counts) do
    if one[2]:sub(1, #cause + 1) == cause .. ':' then
      opened, useful, noise = opened + one[3], useful + one[4], noise + one[5]
    end
  end
  return string.format('{"opened":%d,"useful":%d,"noise":%d}', opened, useful, noise)
end
