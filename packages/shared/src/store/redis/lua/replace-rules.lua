#!lua flags=allow-oom
-- Purpose: replaces the rule document in force, and records the change. Compares the digest, not
--          the version: Redis may have lost rules since, and a version may be another document.
--          Bounded, and operators need it while memory is full: a mute, or a rule that needs less.
-- KEYS:    document, changes of the rules
-- ARGV:    SHA-1 of the document before ('' without one), version, document, change, most changes
--          to keep
-- Returns: 1, or 0 when another document is in force
local document_key, changes_key = KEYS[1], KEYS[2]
local digest_before, version, document, change, changes_max = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local found = redis.call('HGET', document_key, 'document')
if (found and redis.sha1hex(found) or '') ~= digest_before then return 0 end
redis.call('HSET', document_key, 'version', version, 'document', document)
redis.call('XADD', changes_key, 'MAXLEN', changes_max, '*', 'c', change)
return 1
