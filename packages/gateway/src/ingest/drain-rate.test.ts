import type { Progress } from '@tidemark/shared/store/ports/store'
import { expect, test } from 'vitest'
import { createDrainRate } from './drain-rate.ts'

function createRig(random = 0.5, backlog = 1000) {
  let now = 0
  let done = 0
  let questions = 0
  const rate = createDrainRate({
    store: {
      async progress() {
        questions++
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
    questions: () => questions,
    async pass(ms: number, samples: number) {
      // The answer to the last question comes before time goes on.
      await new Promise(resolve => setImmediate(resolve))
      now += ms
      done += samples
    },
  }
}

test('the first refusal has nothing to go by', () => {
  expect(createRig().rate.retryAfterS(1, 1000)).toBe(2)
})

test('later ones go by how fast the partition drained', async () => {
  const { rate, pass, questions } = createRig()
  rate.retryAfterS(1, 1000)
  await pass(1000, 100)
  rate.retryAfterS(1, 1000)
  await pass(100, 0)
  expect(rate.retryAfterS(1, 1000)).toBe(10)
  expect(rate.retryAfterS(1, 55)).toBe(1)
  expect(rate.retryAfterS(1, 1_000_000)).toBe(60)
  expect(questions()).toBe(2)
})

test('a partition that does not drain is for the longest wait', async () => {
  const { rate, pass } = createRig()
  rate.retryAfterS(1, 1000)
  await pass(1000, 0)
  rate.retryAfterS(1, 1000)
  await pass(100, 0)
  expect(rate.retryAfterS(1, 1000)).toBe(60)
})

test('a rate of an hour ago says nothing about now', async () => {
  const { rate, pass } = createRig()
  rate.retryAfterS(1, 1000)
  await pass(3_600_000, 100)
  rate.retryAfterS(1, 1000)
  await pass(100, 0)
  expect(rate.retryAfterS(1, 1000)).toBe(2)
})

test('jitter keeps clients apart', async () => {
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

test('a store in trouble changes nothing', async () => {
  const rate = createDrainRate({
    store: { progress: () => Promise.reject(new Error('away')) },
    now: () => 0,
    random: () => 0.5,
  })
  expect(rate.retryAfterS(1, 1000)).toBe(2)
  await Promise.resolve()
  expect(rate.retryAfterS(1, 1000)).toBe(2)
})

test('who was refused for want of memory waits for what is known of the backlog', async () => {
  const { rate, pass } = createRig()
  expect(rate.retryAfterS(1)).toBe(2)
  await pass(1000, 100)
  rate.retryAfterS(1)
  await pass(100, 0)
  // 1,000 samples at 100 a second.
  expect(rate.retryAfterS(1)).toBe(10)
})

test('memory that no backlog of the partition holds is looked for again soon', async () => {
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
])('also those who wait for the longest come back apart', async (random, seconds) => {
  const { rate, pass } = createRig(random)
  rate.retryAfterS(1, 1000)
  await pass(1000, 0)
  rate.retryAfterS(1, 1000)
  await pass(100, 0)
  expect(rate.retryAfterS(1, 1000)).toBe(seconds)
})
