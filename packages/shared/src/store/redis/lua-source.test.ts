import { expect, test } from 'vitest'
import { readScript, scriptNames } from './lua-source.ts'

test.each(scriptNames())('%s starts with its shebang and has its includes', name => {
  const { lua } = readScript(name)
  expect(lua).toMatch(/^#!lua( flags=[a-z-]+)?\n/)
  expect(lua).not.toContain('-- include:')
  for (const helper of ['clock_ms', 'is_after', 'field', 'schedule_check', 'each', 'in_parts', 'remember']) {
    const uses = lua.split(new RegExp(`\\b${helper}\\(`)).length - 1
    if (uses > 0) expect(lua).toContain(`local function ${helper}(`)
  }
})

test.each(scriptNames())('%s binds KEYS and ARGV to names before it uses them', name => {
  const { lua } = readScript(name)
  const raw = lua.split('\n').filter(line => /(KEYS|ARGV)\[\d/.test(line) && !/^local [\w, ]+ = /.test(line))
  expect(raw).toEqual([])
})

test('a script that does not exist is an error', () => {
  expect(() => readScript('no-such-script')).toThrow('no-such-script.lua')
})
