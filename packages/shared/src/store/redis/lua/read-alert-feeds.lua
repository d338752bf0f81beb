#!lua flags=no-writes
-- Purpose: reads what follows positions in the alert feeds of several partitions.
-- KEYS:    alert_feed of each partition
-- ARGV:    at most how many entries of each, the id after which to read in each
-- Returns: for each feed its entries
local count, feeds, places, wanted = ARGV[1], {}, {}, {}

for i, feed_key in ipairs(KEYS) do
  feeds[i], places[feed_key], wanted[i], wanted[#KEYS + i] = {}, i, feed_key, ARGV[i + 1]
end
-- (pcall: a user of an earlier version may lack the right.)
local found = redis.pcall('XREAD', 'COUNT', count, 'STREAMS', unpack(wanted))
if found and found.err then
  for i, feed_key in ipairs(KEYS) do
    feeds[i] = redis.call('XRANGE', feed_key, '(' .. ARGV[i + 1], '+', 'COUNT', count)
  end
elseif found then
  for _, stream in ipairs(found) do feeds[places[stream[1]]] = stream[2] end
end
return feeds
