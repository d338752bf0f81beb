import type { SharedBucket } from '@tidemark/shared/store/ports/limits'
import { describe, expect, test } from 'vitest'
import type { OpenStore } from './harness.ts'

/** So slow that it gains nothing while a test runs. */
const SLOW: SharedBucket = { name: 'slow', perS: 1e-5, burst: 10 }

export function describeLimits(open: OpenStore): void {
  describe('limits', () => {
    test('grant what all connections together may take, and no token twice', async () => {
      await using under = await open()
      await using other = await under.connect()
      const { limits } = under.store
      expect((await limits.take(SLOW, { cost: 4, ahead: 0 })).granted).toBe(4)
      expect((await other.limits.take(SLOW, { cost: 3, ahead: 0 })).granted).toBe(3)
      const refused = await limits.take(SLOW, { cost: 4, ahead: 5 })
      expect(refused.granted).toBe(0)
      expect(refused.tokens).toBeCloseTo(3, 1)
      expect((await limits.take({ ...SLOW, name: 'another' }, { cost: 10, ahead: 0 })).granted).toBe(10)
      const granted = await Promise.all(
        Array.from({ length: 20 }, (_, i) => [limits, other.limits][i % 2]?.take(SLOW, { cost: 1, ahead: 0 })),
      )
      expect(granted.filter(one => one?.granted === 1)).toHaveLength(3)
    })

    test('grant beyond the cost what there is, in whole tokens', async () => {
      await using under = await open()
      const { limits } = under.store
      expect((await limits.take({ ...SLOW, burst: 10.5 }, { cost: 1, ahead: 4 })).granted).toBe(5)
      expect((await limits.take({ ...SLOW, burst: 10.5 }, { cost: 1, ahead: 100 })).granted).toBe(5)
      expect((await limits.take({ ...SLOW, burst: 10.5 }, { cost: 0, ahead: 100 })).granted).toBe(0)
    })

    test('take back what was not used, and hold no more than the burst', async () => {
      await using under = await open()
      const { limits } = under.store
      await limits.take(SLOW, { cost: 8, ahead: 0 })
      expect((await limits.take(SLOW, { cost: -5, ahead: 0 })).tokens).toBeCloseTo(7, 1)
      expect((await limits.take(SLOW, { cost: -50, ahead: 0 })).tokens).toBe(10)
      expect((await limits.take(SLOW, { cost: 10, ahead: 10 })).granted).toBe(10)
      expect((await limits.take(SLOW, { cost: 1, ahead: 0 })).granted).toBe(0)
    })

    test('grant a cost above the burst when the bucket is full, and leave a debt', async () => {
      await using under = await open()
      const { limits } = under.store
      await limits.take(SLOW, { cost: 1, ahead: 0 })
      expect((await limits.take(SLOW, { cost: 25, ahead: 0 })).granted).toBe(0)
      await limits.take(SLOW, { cost: -1, ahead: 0 })
      const taken = await limits.take(SLOW, { cost: 25, ahead: 5 })
      expect(taken.granted).toBe(25)
      expect(taken.tokens).toBeCloseTo(-15, 1)
      expect((await limits.take(SLOW, { cost: 0, ahead: 3 })).granted).toBe(0)
    })

    test('regain tokens with time', async () => {
      await using under = await open()
      const { limits } = under.store
      const bucket = { name: 'quick', perS: 20, burst: 20 }
      await limits.take(bucket, { cost: 30, ahead: 0 })
      expect((await limits.take(bucket, { cost: 10, ahead: 0 })).granted).toBe(0)
      await under.probe.advanceTime(1100)
      const taken = await limits.take(bucket, { cost: 10, ahead: 0 })
      expect(taken.granted).toBe(10)
      expect(taken.tokens).toBeGreaterThan(1.9)
      await under.probe.advanceTime(1100)
      // Full: the key is gone from Redis, and the bucket holds the burst.
      expect((await limits.take(bucket, { cost: 20, ahead: 5 })).granted).toBe(20)
    })

    test('apply new numbers to the tokens that are left', async () => {
      await using under = await open()
      const { limits } = under.store
      await limits.take({ ...SLOW, burst: 100 }, { cost: 50, ahead: 0 })
      expect((await limits.take(SLOW, { cost: 10, ahead: 5 })).granted).toBe(10)
      expect((await limits.take({ ...SLOW, burst: 100 }, { cost: 1, ahead: 0 })).granted).toBe(0)
    })
  })
}
