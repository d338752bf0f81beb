#!lua
-- Purpose: puts a document of rules in the place of the one whose version is one less, and notes the change.
-- KEYS:    document, changes of the rules
-- ARGV:    version of the one before, version, document, change, most changes to keep
-- Returns: 1, or 0 when another one is in force by now
local document_key, changes_key = KEYS[1], KEYS[2]
if (redis.call('HGET', document_key, 'version') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', document_key, 'version', ARGV[2], 'document', ARGV[3])
redis.call('XADD', changes_key, 'MAXLEN', ARGV[5], '*', 'c', ARGV[4])
return 1
