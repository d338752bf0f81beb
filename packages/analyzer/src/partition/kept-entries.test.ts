import type { KeptEntry } from '@tidemark/shared/store/ports/analyzer'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KeptEntries } from './kept-entries.ts'

/** The definition, computed from everything that was ever added. */
function oldestOf(all: readonly KeptEntry[], samplesMax: number): string | undefined {
  let samples = 0
  let first = all.length
  for (; first > 0; first--) {
    samples += all[first - 1]?.samples ?? 0
    if (samples > samplesMax && first < all.length) break
  }
  return all[first]?.id
}

test('the newest entries are kept up to a number of samples, and always the newest one', () => {
  const sizes = fc.array(fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 8 }), { maxLength: 40 })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 60 }), (batches, samplesMax) => {
      const kept = new KeptEntries(samplesMax)
      const all: KeptEntry[] = []
      for (const batch of batches) {
        const added = batch.map((samples, i) => ({ id: `${all.length + i}-0` as const, samples }))
        const before = kept.keepFrom([])
        const expected = oldestOf([...all, ...added], samplesMax)
        expect(kept.keepFrom(added)).toBe(expected)
        // The query changes nothing.
        expect(kept.keepFrom([])).toBe(before)
        kept.add(added)
        all.push(...added)
        expect(kept.keepFrom([])).toBe(expected)
      }
    }),
  )
})

test('dropped entries take no memory, and a limit of 0 keeps none', () => {
  const kept = new KeptEntries(3)
  for (let n = 0; n < 5000; n++) kept.add([{ id: `${n}-0`, samples: 1 }])
  expect(kept.keepFrom([{ id: '5000-0', samples: 1 }])).toBe('4998-0')
  const none = new KeptEntries(0)
  none.add([{ id: '1-0', samples: 1 }])
  expect(none.keepFrom([{ id: '2-0', samples: 1 }])).toBeUndefined()
})
