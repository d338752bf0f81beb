import { expect, test } from 'vitest'
import { createTurns } from './yielding.ts'

test('one turn in each round of the event loop, first come, first served', async () => {
  const turn = createTurns()
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
      await turn()
      seen.push(`${name} ${round}`)
    }),
  )
  expect(seen).toEqual(['a 1', 'b 2', 'c 3'])
  // And once more, after nobody waited.
  await turn()
  isOver = true
  expect(round).toBeGreaterThanOrEqual(3)
})

test('who comes while another waits has the next round', async () => {
  const turn = createTurns()
  const seen: string[] = []
  const first = turn().then(() => seen.push('first'))
  await new Promise(resolve => setImmediate(resolve))
  const second = turn().then(() => seen.push('second'))
  await Promise.all([first, second])
  expect(seen).toEqual(['first', 'second'])
})
