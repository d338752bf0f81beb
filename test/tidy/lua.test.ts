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

test('every script is loaded by the Redis store', () => {
  const code = production
    .filter(file => file.startsWith('packages/shared/src/store/redis/'))
    .map(textOf)
    .join('\n')
  // By readScript('name'), or by its name in the table of commands.
  const isLoaded = (file: string): boolean => {
    const name = basename(file, '.lua')
    const command = name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())
    return code.includes(`'${name}'`) || new RegExp(`^  ${command}: (\\d+|\\{)`, 'm').test(code)
  }
  expect(scripts.filter(file => !isLoaded(file))).toEqual([])
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
