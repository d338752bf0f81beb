#!lua flags=allow-oom
-- Purpose: notes the layout of a new deployment and tells that of an old one.
-- KEYS:    meta
-- ARGV:    format version, partitions of a new deployment
-- Returns: {format version, partitions} as they stand
local meta_key = KEYS[1]
local format, partitions = ARGV[1], ARGV[2]

redis.call('HSETNX', meta_key, 'format', format)
redis.call('HSETNX', meta_key, 'partitions', partitions)
return redis.call('HMGET', meta_key, 'format', 'partitions')
