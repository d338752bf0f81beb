#!lua flags=allow-oom
-- Purpose: replaces the rule document whose version is one less, and records the change. Bounded,
--          and operators need it while memory is full: a mute, or a rule that needs less memory.
-- KEYS:    document, changes of the rules
-- ARGV:    version of the document before, version, document, change, most changes to keep
-- Returns: 1, or 0 when another version is in force
local document_key, changes_key = KEYS[1], KEYS[2]
local version_before, version, document, change, changes_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if (redis.call('HGET', document_key, 'version') or '0') ~= version_before then return 0 end
redis.call('HSET', document_key, 'version', version, 'document', document)
redis.call('XADD', changes_key, 'MAXLEN', changes_max, '*', 'c', change)
return 1
