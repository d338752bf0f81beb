import { redisAvailable } from '@tidemark/testkit/redis-fixture'
import { describe, expect, test } from 'vitest'
import { DAMAGE_NAMES } from './bodies-damage.ts'
import { fuzzBodies } from './bodies-run.ts'

/** `npm run fuzz -- --size 100000` sends more. */
const SIZE = 600

describe.runIf(await redisAvailable())('of bodies that are damaged in one place', () => {
  test('every intact sample is stored exactly once, and every damage is named', async () => {
    const { damages, violations, bodies, stored } = await fuzzBodies(SIZE, 12)
    expect(violations).toEqual([])
    expect([bodies, stored > SIZE]).toEqual([SIZE, true])
    const kinds = [...damages.keys()]
    expect(DAMAGE_NAMES.filter(name => !kinds.some(kind => kind.startsWith(name)))).toEqual([])
    expect(kinds.some(kind => kind.endsWith('one byte a packet'))).toBe(true)
  })
})
