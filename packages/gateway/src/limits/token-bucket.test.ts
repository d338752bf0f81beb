import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { LimitStore } from '@tidemark/shared/store/ports/limits'
import { describe, expect, test } from 'vitest'
import { type BucketContext, TokenBucket } from './token-bucket.ts'

/** A shared store, a clock, and what was asked of the store. */
function world() {
  let ms = 1_000_000
  const store: LimitStore = createMemoryStore({ now: () => ms }).limits
  const shared = { calls: 0, isDown: false }
  const context: BucketContext = {
    take: async (bucket, wanted) => {
      shared.calls++
      await Promise.resolve()
      if (shared.isDown) throw new StoreError('down', { kind: 'unknown' })
      return store.take(bucket, wanted)
    },
    gateways: 1,
    now: () => ms,
    onFailure: () => {},
  }
  return {
    shared,
    context,
    bucket: (perS: number, burst = perS, changes: Partial<BucketContext> = {}) =>
      new TokenBucket({ ...context, ...changes }, 'b', perS, burst),
    advance(by: number) {
      ms += by
    },
  }
}

const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Sends `perMs` requests of `cost` each millisecond to each bucket. Returns what was admitted. */
async function load(
  { advance }: ReturnType<typeof world>,
  buckets: readonly TokenBucket[],
  { ms, perMs, cost = 1 }: { ms: number; perMs: number; cost?: number },
): Promise<number> {
  let admitted = 0
  for (let t = 0; t < ms; t++) {
    const decisions = Array.from({ length: perMs }, () => buckets.map(bucket => bucket.take(cost))).flat()
    await settled()
    admitted += (await Promise.all(decisions)).filter(waitS => waitS === 0).length
    advance(1)
  }
  return admitted
}

describe('the limit over all gateways', () => {
  test.each([
    { perS: 100, burst: 100, gateways: 2, perMs: 2 },
    { perS: 100, burst: 10, gateways: 5, perMs: 1 },
    { perS: 3000, burst: 3000, gateways: 2, perMs: 20 },
    { perS: 7.5, burst: 1, gateways: 3, perMs: 1 },
    { perS: 1, burst: 1, gateways: 2, perMs: 3 },
    { perS: 0.5, burst: 1, gateways: 4, perMs: 1 },
  ])('is exact under overload: $perS/s, burst $burst, $gateways gateways', async ({ perS, burst, gateways, perMs }) => {
    const all = world()
    const buckets = Array.from({ length: gateways }, () => all.bucket(perS, burst))
    const admitted = await load(all, buckets, { ms: 4000, perMs })
    const allowed = burst + perS * 4
    expect(admitted).toBeLessThanOrEqual(allowed)
    expect(admitted).toBeGreaterThanOrEqual(Math.floor(allowed * 0.97))
  })

  test('lets a client below it through, whichever gateway it uses', async () => {
    const all = world()
    const buckets = [all.bucket(1000, 1000), all.bucket(1000, 1000)]
    expect(await load(all, buckets, { ms: 3000, perMs: 1, cost: 0.49 })).toBe(6000)
  })

  test('costs a call of the store for many requests of a busy client, below and above the limit', async () => {
    const all = world()
    await load(all, [all.bucket(10_000)], { ms: 2000, perMs: 5 })
    expect(all.shared.calls).toBeLessThan(60)
    const other = world()
    await load(other, [other.bucket(1000)], { ms: 2000, perMs: 50 })
    expect(other.shared.calls).toBeLessThan(150)
  })

  test('says when a refused request will be admitted, and it is', async () => {
    const all = world()
    const [one, two] = [all.bucket(2, 4), all.bucket(2, 4)]
    for (let i = 0; i < 4; i++) expect(await [one, two][i % 2]?.take(1)).toBe(0)
    const waitS = await one.take(1)
    expect(waitS).toBeCloseTo(0.5, 2)
    expect(await two.take(3)).toBeCloseTo(1.5, 2)
    all.advance(waitS * 1000 + 1)
    expect(await one.take(1)).toBe(0)
    expect(await two.take(1)).toBeGreaterThan(0.4)
  })

  test('admits a cost above the burst when the bucket is full, and then keeps the rate', async () => {
    const all = world()
    const bucket = all.bucket(100, 100)
    expect(await bucket.take(1000)).toBe(0)
    expect(bucket.remaining).toBe(-900)
    expect(await bucket.take(1)).toBeCloseTo(9.01, 1)
    all.advance(9500)
    expect(await bucket.take(1000)).toBeCloseTo(0.5, 1)
    all.advance(500)
    expect(await bucket.take(1000)).toBe(0)
  })

  test('gives tokens back that an idle client has not used', async () => {
    const all = world()
    const [one, two] = [all.bucket(100, 100), all.bucket(100, 100)]
    await load(all, [one], { ms: 10, perMs: 5 })
    one.release()
    await settled()
    let left = 0
    while ((await two.take(1)) === 0) left++
    expect(left).toBe(51)
  })

  test('may change: the tokens that were used stay used', async () => {
    const all = world()
    const bucket = all.bucket(10, 10)
    for (let i = 0; i < 10; i++) await bucket.take(1)
    bucket.change(100, 100)
    expect(await bucket.take(1)).toBeGreaterThan(0)
    all.advance(500)
    expect(await load(all, [bucket], { ms: 1, perMs: 80 })).toBe(50)
  })
})

describe('without the store', () => {
  test('each gateway applies its part of the limit, and all of it once the store is back', async () => {
    const all = world()
    all.shared.isDown = true
    const buckets = [all.bucket(100, 100, { gateways: 2 }), all.bucket(100, 100, { gateways: 2 })]
    const admitted = await load(all, buckets, { ms: 3000, perMs: 1 })
    expect(admitted).toBeLessThanOrEqual(400 + 4)
    expect(admitted).toBeGreaterThan(380)
    // One call a second and gateway: a store that is down is not asked by each request.
    expect(all.shared.calls).toBeLessThan(10)
    all.shared.isDown = false
    all.advance(1000)
    expect(await buckets[0]?.take(1)).toBe(0)
    expect(await load(all, buckets.slice(0, 1), { ms: 3000, perMs: 2 })).toBeGreaterThan(380)
  })

  test('requests that wait for it are decided when it fails', async () => {
    const all = world()
    const calls: ((error: unknown) => void)[] = []
    const bucket = all.bucket(5, 5, { take: () => new Promise((_, reject) => calls.push(reject)) })
    const decisions = Array.from({ length: 8 }, () => bucket.take(1))
    await settled()
    expect(calls).toHaveLength(1)
    calls[0]?.(new StoreError('down', { kind: 'unknown' }))
    const waits = await Promise.all(decisions)
    expect(waits.filter(waitS => waitS === 0)).toHaveLength(5)
    expect(waits.at(-1)).toBeCloseTo(0.2, 2)
  })

  test('decisions are synchronous', () => {
    const all = world()
    const bucket = all.bucket(5, 5, { take: undefined })
    for (let i = 0; i < 5; i++) expect(bucket.take(1)).toBe(0)
    expect(bucket.take(1)).toBeCloseTo(0.2, 5)
    all.advance(250)
    expect(bucket.take(1)).toBe(0)
  })
})
