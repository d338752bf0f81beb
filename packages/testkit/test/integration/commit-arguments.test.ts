import {
  COMMIT_KEYS,
  COMMIT_LISTS,
  COMMIT_SCALARS,
  commitArguments,
} from '@tidemark/shared/store/redis/commit-arguments'
import { readScript } from '@tidemark/shared/store/redis/lua-source'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { carriedBy, carriedOf, named, randomCommit, splitArguments } from '../../src/random-commits.ts'
import { redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'

const RUNS = 200

/** The part of commit.lua that binds its arguments to names. */
const { lua } = readScript('commit')
const BINDING = lua.slice(0, lua.indexOf('-- Returns a reply when the commit must not be applied.'))

/** Returns everything that commit.lua reads, by the names of the table. */
const DECODER = `${BINDING}
local function items(list)
  local found, iterate = {}, each(list)
  while true do
    local item = { iterate() }
    if not item[1] then return found end
    found[#found + 1] = item
  end
end
return { { ${COMMIT_KEYS.map(key => `${key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)}_key`)} },
  { ${Object.keys(COMMIT_SCALARS)} }, ${Object.keys(COMMIT_LISTS).map(name => `items(${name})`)} }`

describe.skipIf(!(await redisAvailable()))('commit.lua in Redis', () => {
  test('reads every commit as it was sent', async () => {
    await using redis = await startRedis()
    const client = rawClient(redis.url)
    await using stack = new AsyncDisposableStack()
    stack.defer(() => client.disconnect())
    await fc.assert(
      fc.asyncProperty(randomCommit, async commit => {
        const args = commitArguments({ step: 'all', token: 'a:1', commit, options: REDIS_STORE_DEFAULTS })
        const argv = splitArguments(args.after(''))
        const reply = await client.callBuffer('EVAL', DECODER, COMMIT_KEYS.length, ...COMMIT_KEYS, ...argv)
        const [keys, scalars, ...lists] = reply as [Buffer[], Buffer[], ...Buffer[][][]]
        expect(keys.map(String)).toEqual(COMMIT_KEYS)
        const decoded = Object.entries(COMMIT_LISTS).map(([name, { fields }], i) => [
          name,
          (lists[i] ?? []).map(item => named(fields, item)),
        ])
        const all = { scalars: named(Object.keys(COMMIT_SCALARS), scalars), lists: Object.fromEntries(decoded) }
        expect(carriedBy(all)).toEqual(carriedOf('a:1', commit))
      }),
      { numRuns: RUNS },
    )
  })
})
