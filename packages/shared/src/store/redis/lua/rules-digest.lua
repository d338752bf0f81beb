#!lua flags=no-writes
-- Purpose: identifies the rule document in force, also if another program wrote it.
-- KEYS:    document of the rules
-- ARGV:    none
-- Returns: the SHA-1 of the document, or '' without one
local document_key = KEYS[1]

local document = redis.call('HGET', document_key, 'document')
return document and redis.sha1hex(document) or ''
