import { basename } from 'node:path'
import { expect, test } from 'vitest'
import { files, production, textOf } from './sources.ts'

const scripts = files.filter(file => /\/lua\/[^/]+\.lua$/.test(file))

test('every script states its purpose, its KEYS, its ARGV and what it returns', () => {
  expect(scripts.length).toBeGreaterThan(10)
  for (const file of scripts) {
    const header = textOf(file)
      .split('\n')
      .filter(line => line.startsWith('--'))
      .join('\n')
    for (const part of ['Purpose:', 'KEYS:', 'ARGV:', 'Returns:']) {
      expect([file, header]).toEqual([file, expect.stringContaining(`-- ${part}`)])
    }
  }
})

test('every script is loaded by the Redis store, and every script that it loads exists', () => {
  const store = production.filter(file => file.startsWith('packages/shared/src/store/redis/'))
  const read = store.flatMap(file => [...textOf(file).matchAll(/readScript\('([a-z-]+)'\)/g)].map(([, name]) => name))
  // The commands: a name in camel case and its number of keys.
  const table = /^const KEY_COUNTS = \{\n([\s\S]*?)^\}/m.exec(textOf('packages/shared/src/store/redis/scripts.ts'))
  const commands = [...(table?.[1] ?? '').matchAll(/^ {2}(\w+): \d+,$/gm)].map(([, name = '']) =>
    name.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`),
  )
  expect([...read, ...commands].toSorted()).toEqual(scripts.map(file => basename(file, '.lua')).toSorted())
})

test('a script binds KEYS and ARGV to names in its first lines and uses only the names after that', () => {
  const raw = scripts.flatMap(file => {
    const body = textOf(file)
      .split('\n')
      .filter(line => !line.startsWith('--') && !line.startsWith('#!'))
    const firstStatement = body.findIndex(line => line.trim() !== '' && !/^(local | {2})/.test(line))
    return body
      .slice(Math.max(0, firstStatement))
      .filter(line => /\b(KEYS|ARGV)\[\d+\]/.test(line))
      .map(line => `${file}: ${line.trim()}`)
  })
  expect(raw).toEqual([])
})
