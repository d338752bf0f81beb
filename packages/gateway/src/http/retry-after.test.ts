import type { Progress } from '@tidemark/shared/store/ports/gateway'
import { expect, test } from 'vitest'
import { createDrainRate } from './retry-after.ts'

function createRig(random = 0.5, backlog = 1000) {
  let now = 0
  let done = 0
  let reads = 0
  const rate = createDrainRate({
    store: {
      async progress() {
        reads++
        const progress: Progress = {
          checkpoint: '0-0',
          accepted: backlog + done,
          analysed: done,
          dead: 0,
          lost: 0,
          backlog,
        }
        return [progress]
      },
    },
    now: () => now,
    random: () => random,
  })
  return {
    rate,
    reads: () => reads,
    async pass(ms: number, samples: number) {
      // The last read ends before time advances.
      await new Promise(resolve => setImmediate(resolve))
      now += ms
      done += samples
    },
  }
}

test('the first rejection suggests a fixed wait, because the rate is unknown', () => {
  expect(createRig().rate.retryAfterS(1, 1000)).toBe(2)
})

test('later rejections use the measured drain rate', async () => {
  const { rate, pass, reads } = createRig()
  rate.retryAfterS(1, 1000)
  await pass(1000, 100)
  rate.retryAfterS(1, 1000)
  await pass(100, 0)
  expect(rate.retryAfterS(1, 1000)).toBe(10)
  expect(rate.retryAfterS(1, 55)).toBe(1)
  expect(rate.retryAfterS(1, 1_000_000)).toBe(60)
  expect(reads()).toBe(2)
})

test('a partition that does not drain gets the longest wait', async () => {
  const { rate, pass } = createRig()
  rate.retryAfterS(1, 1000)
  await pass(1000, 0)
  rate.retryAfterS(1, 1000)
  await pass(100, 0)
  expect(rate.retryAfterS(1, 1000)).toBe(60)
})

test('a rate measured an hour ago is not used', async () => {
  const { rate, pass } = createRig()
  rate.retryAfterS(1, 1000)
  await pass(3_600_000, 100)
  rate.retryAfterS(1, 1000)
  await pass(100, 0)
  expect(rate.retryAfterS(1, 1000)).toBe(2)
})

test('jitter spreads clients', async () => {
  const waits = await Promise.all(
    [0, 1].map(async random => {
      const { rate, pass } = createRig(random)
      rate.retryAfterS(1, 1000)
      await pass(1000, 100)
      rate.retryAfterS(1, 1000)
      await pass(100, 0)
      return rate.retryAfterS(1, 1000)
    }),
  )
  expect(waits).toEqual([8, 13])
})

test('a failed read of the progress keeps the estimate', async () => {
  const rate = createDrainRate({
    store: { progress: () => Promise.reject(new Error('unavailable')) },
    now: () => 0,
    random: () => 0.5,
  })
  expect(rate.retryAfterS(1, 1000)).toBe(2)
  await Promise.resolve()
  expect(rate.retryAfterS(1, 1000)).toBe(2)
})

test('a store at its memory limit suggests a wait for the last known backlog', async () => {
  const { rate, pass } = createRig()
  expect(rate.retryAfterS(1)).toBe(2)
  await pass(1000, 100)
  rate.retryAfterS(1)
  await pass(100, 0)
  // 1,000 samples at 100 a second.
  expect(rate.retryAfterS(1)).toBe(10)
})

test('a store at its memory limit without a backlog suggests a short wait', async () => {
  const { rate, pass } = createRig(0.5, 0)
  rate.retryAfterS(1)
  await pass(1000, 0)
  rate.retryAfterS(1)
  await pass(100, 0)
  expect(rate.retryAfterS(1)).toBe(5)
})

test.each([
  [0, 45],
  [0.5, 60],
  [0.999, 75],
])('the longest wait has jitter too', async (random, seconds) => {
  const { rate, pass } = createRig(random)
  rate.retryAfterS(1, 1000)
  await pass(1000, 0)
  rate.retryAfterS(1, 1000)
  await pass(100, 0)
  expect(rate.retryAfterS(1, 1000)).toBe(seconds)
})
