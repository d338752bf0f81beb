import { describe, expect, test } from 'vitest'
import { parseLabels, windowsOf } from './labels.ts'

const START = Date.parse('2014-04-01T00:00:00Z')
const WINDOW = { start: START, end: START + 3_600_000 }

describe('labels', () => {
  test.each([
    ['pairs in JSON', '[["2014-04-01 00:00:00", "2014-04-01 01:00:00.000000"]]'],
    ['Unix seconds', `[[${START / 1000}, ${START / 1000 + 3600}]]`],
    ['CSV with a header', 'start,end\n2014-04-01 00:00:00,2014-04-01T01:00:00Z\n'],
    ['CSV without a header', `${START},${WINDOW.end}`],
  ])('are parsed from %s', (_, text) => {
    expect(parseLabels(text, 'labels')).toEqual({ kind: 'one', windows: [WINDOW] })
  })

  test('are found by the path of a file, or by a longer or a shorter path', () => {
    const labels = parseLabels('{"a/cpu.csv": [["2014-04-01 00:00:00", "2014-04-01 01:00:00"]], "b.csv": []}', 'labels')
    expect(windowsOf(labels, 'a/cpu.csv')).toEqual([WINDOW])
    expect(windowsOf(labels, 'cpu.csv')).toEqual([WINDOW])
    expect(windowsOf(labels, 'data/a/cpu.csv')).toEqual([WINDOW])
    expect(windowsOf(labels, 'b.csv')).toEqual([])
    expect(windowsOf(labels, 'acpu.csv')).toBeUndefined()
  })

  test.each([
    ['{"a.csv": 5}', 'unknown format'],
    ['[["2014-04-01", "soon"]]', 'must be two times'],
    ['[["2014-04-02", "2014-04-01"]]', 'ends before it begins'],
    ['{"a.csv": [', 'are not valid JSON'],
    ['start\n5', 'unknown format'],
  ])('are rejected if invalid: %s', (text, reason) => {
    expect(() => parseLabels(text, 'labels')).toThrow(reason)
  })
})
