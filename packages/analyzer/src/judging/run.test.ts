import type { Entry } from '@tidemark/shared/sample/entry'
import { packSamples } from '@tidemark/testkit/samples'
import { describe, expect, test } from 'vitest'
import { entriesAfter, takeRun } from './run.ts'

const START = { id: '0-0', offset: 0 }

function entry(id: string, offset: number, count = 1): Entry {
  const samples = Array.from({ length: count }, (_, i) => ({ key: 'k', value: i, timestamp: 1 }))
  return { id, samples: packSamples(samples), count, offset }
}

describe('a run', () => {
  test('holds entries with consecutive offsets', () => {
    const run = takeRun([entry('1-0', 0, 2), entry('2-0', 2, 3), entry('3-0', 6)], START, 100)
    expect(run).toMatchObject({ entries: ['1-0', '2-0'], to: { id: '2-0', offset: 5 }, analysed: 5 })
  })

  test('ends before an entry without an offset: a gap before it would go unnoticed', () => {
    const byHand = { id: '2-0', samples: 'x', count: undefined, offset: undefined }
    const entries = [entry('1-0', 0, 2), byHand, entry('3-0', 2), entry('4-0', 3)]
    expect(takeRun(entries, START, 100).entries).toEqual(['1-0'])
    expect(takeRun(entries.slice(1), { id: '1-0', offset: 2 }, 100).entries).toEqual(['2-0', '3-0', '4-0'])
    // '3-0' has no consecutive offset: an entry was added by hand before it.
    expect(takeRun(entries.slice(1), { id: '1-0', offset: 1 }, 100).entries).toEqual(['2-0'])
  })

  test('leaves it to the store whether there is an entry before its first one', () => {
    expect(takeRun([entry('9-0', 7)], START, 100)).toMatchObject({ entries: ['9-0'], to: { id: '9-0', offset: 8 } })
  })

  test('holds at most `samplesMax` samples, but at least one entry of any size', () => {
    expect(takeRun([entry('1-0', 0, 60), entry('2-0', 60, 60)], START, 100).entries).toEqual(['1-0'])
    expect(takeRun([entry('1-0', 0, 600), entry('2-0', 600, 1)], START, 100).entries).toEqual(['1-0'])
  })

  test.each([
    ['no fields', { samples: undefined, count: undefined, offset: undefined }, 'no field "s"', 0],
    ['no count', { samples: '["k",1,2]', count: undefined, offset: undefined }, 'not counts', 0],
    ['broken JSON', { samples: '["k",1', count: 1, offset: 0 }, 'not JSON', 1],
    ['no array', { samples: '{"k":1}', count: 1, offset: 0 }, 'not a JSON array', 1],
    ['too few items', { samples: '["k",1]', count: 1, offset: 0 }, 'has 2 items', 1],
    ['a count that differs', { samples: '["k",1,2]', count: 2, offset: 0 }, 'has 1 samples, but "n" is 2', 2],
    ['a value that is a string', { samples: '["k","1",2]', count: 1, offset: 0 }, 'sample 0 is not', 1],
    ['a value beyond float64', { samples: '["k",1e999,2]', count: 1, offset: 0 }, 'sample 0 is not', 1],
    ['a key that is a number', { samples: '[1,1,2]', count: 1, offset: 0 }, 'sample 0 is not', 1],
  ])('counts an entry with %s as dead and goes on', (_, fields, reason, samples) => {
    const run = takeRun([{ id: '1-0', ...fields }, entry('2-0', samples)], START, 100)
    expect(run.deadLetters).toEqual([
      { id: '1-0', reason: expect.stringContaining(reason), samples: fields.samples ?? '' },
    ])
    expect(run).toMatchObject({ entries: ['1-0', '2-0'], dead: samples, analysed: 1 })
  })

  test('with a deleted entry lacks its samples, and the next offset shows how many there were', () => {
    const deleted = { id: '1-0', samples: undefined, count: undefined, offset: undefined, isDeleted: true }
    const run = takeRun([deleted, entry('2-0', 4)], START, 100)
    expect(run).toMatchObject({ deadLetters: [], entries: ['1-0'], to: { id: '1-0', offset: 0 }, analysed: 0 })
    expect(takeRun([entry('2-0', 4)], run.to, 100)).toMatchObject({ to: { id: '2-0', offset: 5 }, analysed: 1 })
  })

  test('consists of the entries after the checkpoint, each once', () => {
    const ids = ['3-0', '9-1', '9-1', '9-0', '10-0'].map(id => entry(id, 0))
    expect(entriesAfter('3-0', ids).map(({ id }) => id)).toEqual(['9-1', '10-0'])
  })
})
