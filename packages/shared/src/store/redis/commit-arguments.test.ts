import { expect, test } from 'vitest'
import { COMMIT_KEYS, COMMIT_LISTS, COMMIT_SCALARS } from './commit-arguments.ts'
import { readScript } from './lua-source.ts'

const { lua } = readScript('commit')
const LISTS = Object.entries(COMMIT_LISTS).map(([name, { fields }]) => ({ name, fields }))

function namesIn(pattern: RegExp): string[] {
  return (pattern.exec(lua)?.[1] ?? '').split(',').map(name => name.trim())
}

test('commit.lua names the keys and scalars of the protocol, in its order', () => {
  const snakeCase = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
  expect(namesIn(/^local (samples_key[^=]+)= unpack\(KEYS\)$/m)).toEqual(
    COMMIT_KEYS.map(key => `${snakeCase(key)}_key`),
  )
  const scalars = Object.keys(COMMIT_SCALARS)
  expect(namesIn(/^local (token[^=]+)= unpack\(ARGV, 1, \d+\)$/m)).toEqual(scalars)
  expect(lua).toContain(`unpack(ARGV, 1, ${scalars.length})`)
  expect(lua).toContain(`list_reader(${scalars.length + 1})`)
})

test('commit.lua names the lists of the protocol and the fields of their items, in its order', () => {
  const declared = [...lua.matchAll(/^local (\w+) = next_list\(([^)]+)\)$/gm)].map(([, name, fields = '']) => ({
    name,
    fields: fields.split(',').map(field => field.trim().replaceAll("'", '')),
  }))
  expect(declared).toEqual(LISTS)
})

test('commit.lua iterates over each list by the names of its fields', () => {
  const loops = [...lua.matchAll(/for ([\w, ]+) in each\((\w+)\) do/g)]
  expect(loops.length).toBeGreaterThan(5)
  for (const [, variables = '', name] of loops) {
    expect({ name, fields: variables.split(', ') }).toEqual(LISTS.find(list => list.name === name))
  }
})
