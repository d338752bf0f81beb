import { describe, expect, test } from 'vitest'
import { interleave, type Measures, orderOf, type Round } from './interleave.ts'
import { type Subject, THIS_CODE } from './subject.ts'

const [A, B]: Subject[] = [
  { ...THIS_CODE, name: 'a' },
  { ...THIS_CODE, name: 'b' },
] as const

/** Runs rounds of a and b, and records what happens to both. */
async function run(
  rounds: number,
  { firstRound = 0, failsIn = '' } = {},
): Promise<{ events: string[]; results: Round[] }> {
  const events: string[] = []
  async function* measure({ name }: Subject): AsyncGenerator<Measures> {
    try {
      for (let n = 1; ; n++) {
        if (failsIn === `${name}${n}`) throw new Error(failsIn)
        events.push(`${name}${n}`)
        yield { n }
      }
    } finally {
      events.push(`end of ${name}`)
    }
  }
  const results: Round[] = []
  try {
    const onMeasure = ({ name }: Subject): void => void events.push(name)
    for await (const round of interleave([A, B] as Subject[], measure, { firstRound, onMeasure })) {
      if (results.push(round) === rounds) break
    }
  } catch (error) {
    events.push(`failed: ${(error as Error).message}`)
  }
  return { events, results }
}

describe('rounds', () => {
  test('of the subjects alternate, and what is measured first in one is measured last in the next', async () => {
    const { events, results } = await run(3)
    const measured = ['a', 'a1', 'b', 'b1', 'b', 'b2', 'a', 'a2', 'a', 'a3', 'b', 'b3']
    expect(events).toEqual([...measured, 'end of a', 'end of b'])
    expect(results).toEqual([1, 2, 3].map(n => [{ n }, { n }]))
  })

  test('of a second pass go on with the order of the first', async () => {
    const { events, results } = await run(1, { firstRound: 1 })
    expect(events).toEqual(['b', 'b1', 'a', 'a1', 'end of a', 'end of b'])
    expect(results).toEqual([[{ n: 1 }, { n: 1 }]])
  })

  test('keep the place of each subject, whatever the order', () => {
    expect([0, 1, 2].map(round => orderOf(round, ['a', 'b']).join(''))).toEqual(['ab', 'ba', 'ab'])
  })

  test('that fail stop what both have started', async () => {
    const { events, results } = await run(3, { failsIn: 'b2' })
    expect(events.slice(-3)).toEqual(['end of b', 'end of a', 'failed: b2'])
    expect(results).toHaveLength(1)
  })
})
