import { expect, test } from 'vitest'
import { createYield } from './yielding.ts'

test('one caller goes on in each round of the event loop, first come, first served', async () => {
  const yieldToOthers = createYield()
  const seen: string[] = []
  let round = 0
  let isOver = false
  const count = (): void => {
    round++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  await Promise.all(
    ['a', 'b', 'c'].map(async name => {
      await yieldToOthers()
      seen.push(`${name} ${round}`)
    }),
  )
  expect(seen).toEqual(['a 1', 'b 2', 'c 3'])
  // Once more, after no caller was waiting.
  await yieldToOthers()
  isOver = true
  expect(round).toBeGreaterThanOrEqual(3)
})

test('a caller that comes while another one waits goes on in the next round', async () => {
  const yieldToOthers = createYield()
  const seen: string[] = []
  const first = yieldToOthers().then(() => seen.push('first'))
  await new Promise(resolve => setImmediate(resolve))
  const second = yieldToOthers().then(() => seen.push('second'))
  await Promise.all([first, second])
  expect(seen).toEqual(['first', 'second'])
})
