#!lua flags=no-writes
-- Purpose: reads all buckets of a key and its window as of one moment: none of them says anything
--          without the others.
-- KEYS:    aggregates, windows and window tails of one partition, the two rings of the key
-- ARGV:    the key
-- Returns: {open buckets, row, tail, ring, ring}; nil where there is none, '' for a ring
local aggregates_key, windows_key, window_tails_key, hours_key, days_key = unpack(KEYS)
local key = ARGV[1]
return {
  redis.call('HGET', aggregates_key, key), redis.call('HGET', windows_key, key),
  redis.call('HGET', window_tails_key, key),
  redis.call('GET', hours_key) or '', redis.call('GET', days_key) or '',
}
