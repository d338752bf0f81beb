import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HYGIENE_STATE_LENGTH, type HygienePolicy, type Influence, stepHygiene } from './hygiene.ts'

function influences(policy: HygienePolicy, sides: readonly number[]): Influence[] {
  const states = new Float64Array(HYGIENE_STATE_LENGTH)
  return sides.map(side => stepHygiene(states, 0, policy, side))
}

describe('an anomalous sample', () => {
  test('joins the baseline by default, and never makes a new level', () => {
    expect(new Set(influences({ isHeld: false, levelShiftAfter: 0 }, Array(1000).fill(1)))).toEqual(new Set(['learn']))
  })

  test('is held if the rule says so; a normal one never is', () => {
    expect(influences({ isHeld: true, levelShiftAfter: 9 }, [0, 1, 0, -1])).toEqual(['learn', 'hold', 'learn', 'hold'])
  })

  test('makes a new level after a number of consecutive ones on its side, and then the count restarts', () => {
    const sides = [1, 1, 1, 1, 1, 1]
    expect(influences({ isHeld: true, levelShiftAfter: 3 }, sides)).toEqual([
      'hold',
      'hold',
      'shift',
      'hold',
      'hold',
      'shift',
    ])
    expect(influences({ isHeld: false, levelShiftAfter: 3 }, [-1, -1, 1, -1, -1, -1]).at(-1)).toBe('shift')
    expect(influences({ isHeld: false, levelShiftAfter: 3 }, [1, 1, 0, 1, 1])).not.toContain('shift')
  })
})

test('on any anomalies a level shift comes after that many consecutive ones of a side since the last shift', () => {
  const side = fc.constantFrom(-1, 0, 1, 1)
  fc.assert(
    fc.property(fc.array(side), fc.boolean(), fc.integer({ min: 2, max: 5 }), fc.nat(), (sides, isHeld, after, cut) => {
      let states = new Float64Array(HYGIENE_STATE_LENGTH)
      let begin = 0
      for (const [i, side] of sides.entries()) {
        if (i === cut) states = new Float64Array(Uint8Array.from(new Uint8Array(states.buffer)).buffer)
        const run = sides.slice(begin, i + 1).slice(-after)
        const isShift = run.length === after && side !== 0 && run.every(one => one === side)
        const expected = isShift ? 'shift' : side !== 0 && isHeld ? 'hold' : 'learn'
        expect(stepHygiene(states, 0, { isHeld, levelShiftAfter: after }, side)).toBe(expected)
        if (isShift) begin = i + 1
      }
    }),
  )
})
