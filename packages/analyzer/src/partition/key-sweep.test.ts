import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { expect, test } from 'vitest'
import { KeySweep } from './key-sweep.ts'

const HOUR_MS = 3_600_000

async function setUp(keys: number, idleTtlMs: number) {
  let now = 1_700_000_000_000
  const store = createMemoryStore({ partitions: 1, now: () => now })
  await store.keys.register(Array.from({ length: keys }, (_, n) => ({ partition: 0, key: `k${n}`, owner: '' })))
  let looked = 0
  const sweep = new KeySweep({
    store: {
      async scan(...args) {
        const found = await store.keys.scan(...args)
        looked += found.scanned
        return found
      },
    },
    partition: 0,
    idleTtlMs,
  })
  let elapsed = 0
  return {
    looked: () => looked,
    sweep,
    step(ms: number) {
      elapsed += ms
      now += ms
      return sweep.step(elapsed, now)
    },
  }
}

test('looks at every key about once in a tenth of the TTL, a few at a time', async () => {
  const { step, looked } = await setUp(3000, 10 * HOUR_MS)
  let most = 0
  for (let s = 0; s < 3600; s++) {
    const before = looked()
    await step(1000)
    most = Math.max(most, looked() - before)
  }
  expect(looked()).toBeGreaterThan(2500)
  expect(looked()).toBeLessThan(7000)
  expect(most).toBeLessThanOrEqual(500)
})

test('finds each idle key once it is idle, and none before', async () => {
  const { step } = await setUp(1200, 20_000)
  const found = new Set<string>()
  for (let s = 0; s < 20; s++) expect(await step(1000)).toEqual([])
  for (let s = 0; s < 6; s++) for (const key of await step(1000)) found.add(key)
  expect(found.size).toBe(1200)
})

test('begins again where a step could not be used', async () => {
  const { step, sweep } = await setUp(10, 1000)
  await step(0)
  const idle = await step(5000)
  expect(idle).toHaveLength(10)
  sweep.repeat()
  expect(await step(0)).toEqual(idle)
})

test('with a TTL of 0 no key is ever looked at', async () => {
  const { step, looked } = await setUp(10, 0)
  await step(0)
  expect(await step(1e12)).toEqual([])
  expect(looked()).toBe(0)
})
