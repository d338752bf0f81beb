import { describe, expect, test } from 'vitest'
import { parseLabels, unusedNames, windowsOf } from './labels.ts'

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
    expect(windowsOf(labels, { file: 'a/cpu.csv' })).toEqual([WINDOW])
    expect(windowsOf(labels, { file: 'cpu.csv' })).toEqual([WINDOW])
    expect(windowsOf(labels, { file: 'data/a/cpu.csv' })).toEqual([WINDOW])
    expect(windowsOf(labels, { file: 'b.csv' })).toEqual([])
    expect(windowsOf(labels, { file: 'acpu.csv' })).toBeUndefined()
  })

  test('are parsed from CSV with a file in each line, also one without anomalies', () => {
    const lines = 'a/cpu.csv,2014-04-01 00:00:00,2014-04-01 01:00:00\nb.csv,,\n'
    const byName = new Map([
      ['a/cpu.csv', [WINDOW]],
      ['b.csv', []],
    ])
    expect(parseLabels(`file,start,end\n${lines}`, 'labels')).toEqual({ kind: 'named', byName })
    expect(parseLabels(lines, 'labels')).toEqual({ kind: 'named', byName })
    const turned = `end,note,start,name\n2014-04-01 01:00:00,x,2014-04-01 00:00:00,a/cpu.csv\n`
    expect(parseLabels(turned, 'labels')).toMatchObject({ kind: 'named', byName: new Map([['a/cpu.csv', [WINDOW]]]) })
  })

  test('of files of one name are distinguished by their folder, and are rejected if that is unknown', () => {
    const other = [{ start: 0, end: 1 }]
    const byName = new Map([
      ['a/cpu.csv', [WINDOW]],
      ['b/cpu.csv', other],
    ])
    const labels = { kind: 'named', byName } as const
    expect(windowsOf(labels, { file: 'cpu.csv', path: '/data/b/cpu.csv' })).toBe(other)
    expect(windowsOf(labels, { file: 'b/cpu.csv.gz' })).toBe(other)
    expect(() => windowsOf(labels, { file: 'cpu.csv', path: '/data/cpu.csv' })).toThrow('a/cpu.csv, b/cpu.csv')
    expect(unusedNames(labels, [{ file: 'a/cpu.csv' }])).toEqual(['b/cpu.csv'])
  })

  test.each([
    ['{"a.csv": 5}', 'unknown format'],
    ['[["2014-04-01", "soon"]]', 'must be two times'],
    ['[["2014-04-02", "2014-04-01"]]', 'ends before it begins'],
    ['{"a.csv": [', 'are not valid JSON'],
    ['start\n5', 'labels:2: expected'],
    [
      '{"a.csv": [["2014-04-01", "2014-04-02"], ["2014-04-03", "soon"]]}',
      'a.csv, window 2: ["2014-04-03","soon"] must be',
    ],
    ['{"a.csv": ["2014-04-01 00:00:00"]}', 'single times; a window has two'],
    ['file,start,end\na.csv,2014-04-01,2014-04-02\nb.csv,x,y\n', 'labels:3: ["x","y"] must be two times'],
  ])('are rejected if invalid: %s', (text, reason) => {
    expect(() => parseLabels(text, 'labels')).toThrow(reason)
  })
})
