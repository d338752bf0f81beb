#!lua flags=allow-oom
-- Purpose: stores the layout of a new deployment, and returns that of an existing one.
-- KEYS:    meta
-- ARGV:    format version, partitions of a new deployment
-- Returns: {format version, partitions} as stored
local meta_key, format, partitions = KEYS[1], ARGV[1], ARGV[2]

redis.call('HSETNX', meta_key, 'format', format)
redis.call('HSETNX', meta_key, 'partitions', partitions)
return redis.call('HMGET', meta_key, 'format', 'partitions')
