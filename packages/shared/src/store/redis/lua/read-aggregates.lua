#!lua flags=no-writes
-- Purpose: reads all buckets of a key as of one moment: a ring says nothing without the numbers of
--          its open buckets.
-- KEYS:    aggregates of one partition, the two rings of the key
-- ARGV:    the key's fields in aggregates
-- Returns: {open buckets, their second part, ring, ring}; nil where there is none, '' for a ring
local aggregates_key, hours_key, days_key = unpack(KEYS)
local open, rest = unpack(redis.call('HMGET', aggregates_key, ARGV[1], ARGV[2]))
return { open, rest, redis.call('GET', hours_key) or '', redis.call('GET', days_key) or '' }
