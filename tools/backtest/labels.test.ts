import { describe, expect, test } from 'vitest'
import { parseLabels, windowsOf } from './labels.ts'

const START = Date.parse('2014-04-01T00:00:00Z')
const WINDOW = { start: START, end: START + 3_600_000 }

describe('labels', () => {
  test.each([
    ['pairs in JSON', '[["2014-04-01 00:00:00", "2014-04-01 01:00:00.000000"]]'],
    ['Unix seconds', `[[${START / 1000}, ${START / 1000 + 3600}]]`],
    ['CSV with a header', 'start,end\n2014-04-01 00:00:00,2014-04-01T01:00:00Z\n'],
    ['CSV without one', `${START},${WINDOW.end}`],
  ])('are read as %s', (_, text) => {
    expect(parseLabels(text, 'labels')).toEqual({ kind: 'one', windows: [WINDOW] })
  })

  test('of files are found by path, by a longer and by a shorter one', () => {
    const labels = parseLabels('{"a/cpu.csv": [["2014-04-01 00:00:00", "2014-04-01 01:00:00"]], "b.csv": []}', 'labels')
    expect(windowsOf(labels, 'a/cpu.csv')).toEqual([WINDOW])
    expect(windowsOf(labels, 'cpu.csv')).toEqual([WINDOW])
    expect(windowsOf(labels, 'data/a/cpu.csv')).toEqual([WINDOW])
    expect(windowsOf(labels, 'b.csv')).toEqual([])
    expect(windowsOf(labels, 'acpu.csv')).toBeUndefined()
  })

  test.each([
    ['{"a.csv": 5}', 'cannot be understood'],
    ['[["2014-04-01", "soon"]]', 'are not two times'],
    ['[["2014-04-02", "2014-04-01"]]', 'ends before it begins'],
    ['{"a.csv": [', 'are no JSON'],
    ['start\n5', 'cannot be understood'],
  ])('that are wrong say so: %s', (text, reason) => {
    expect(() => parseLabels(text, 'labels')).toThrow(reason)
  })
})
