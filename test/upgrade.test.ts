import { redisAvailable } from '@tidemark/testkit/redis-fixture'
import { describe, expect, test } from 'vitest'
import { checkOutRelease, missingRelease } from './upgrade/released.ts'
import { roll } from './upgrade/rolling.ts'

const missing = await missingRelease()
if (missing !== undefined) process.stderr.write(`SKIPPED: ${missing}\n`)

/** Changes daily. TIDEMARK_UPGRADE_SEED repeats a run. */
const seed = Number(process.env.TIDEMARK_UPGRADE_SEED ?? Math.floor(Date.now() / 86_400_000))

describe.runIf(missing === undefined && (await redisAvailable()))('a rolling upgrade from 0.1.0', () => {
  test(`and its rollback under load lose nothing, and every verdict is the next of its key (seed ${seed})`, async () => {
    const release = await checkOutRelease()
    const result = await roll({ seed, release, rollouts: 2, samplesBetween: 60, everyMs: 40 })
    expect(result.violations).toEqual([])
    expect(result).toMatchObject({ replaced: 8 })
    expect(result.samples).toBeGreaterThan(500)
  })
})
