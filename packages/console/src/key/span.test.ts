import { expect, test } from 'vitest'
import { levelsFor, NEWEST, needsLevels, rangeParameters, shownOf, zoomed } from './span.ts'

const shown = (query: string) => shownOf(new URLSearchParams(query))

const HOUR = 3_600_000
const NOW = Date.parse('2026-11-27T14:05:25Z')

test('a link says how much of the newest time is shown, or an interval', () => {
  expect(shown('key=a&span=6h')).toMatchObject({ span: { ms: 6 * HOUR }, range: undefined })
  expect(shown('from=1000&to=2000').range).toEqual({ from: 1000, to: 2000 })
  expect(shown('from=2026-11-27T14:00Z&to=2026-11-27T14:05:25Z').range).toEqual({ from: NOW - 325_000, to: NOW })
  expect([needsLevels(shown('span=5m')), needsLevels(shown('span=1h')), needsLevels(shown('from=1&to=2'))]).toEqual([
    ...[false, true, true],
  ])
})

test.each([
  ['span=8d'],
  ['span='],
  ['from=5'],
  ['to=5'],
  ['from=5&to=5'],
  ['from=6&to=5'],
  ['from=a&to=5'],
  ['from=1&to=1e99'],
  ['from=-9999999999999999&to=1'],
])('a link with %s shows the newest samples', query => {
  expect(shown(query)).toEqual({ span: NEWEST, range: undefined })
})

test('an interval is written to a link as whole milliseconds, and is never empty', () => {
  expect(rangeParameters({ from: 1000.4, to: 2000.2 })).toEqual({ span: '', from: '1000', to: '2001' })
  expect(rangeParameters({ from: 1000.4, to: 1000.5 })).toEqual({ span: '', from: '1000', to: '1010' })
})

test('zooming keeps the time around which it zooms in its place', () => {
  expect(zoomed({ from: 0, to: 100 }, 20, 0.5)).toEqual({ from: 10, to: 60 })
  expect(zoomed({ from: 10, to: 60 }, 20, 2)).toEqual({ from: 0, to: 100 })
})

test.each([
  [1, ['10s', '1m'], 10_000],
  [6, ['10s', '1m'], 60_000],
  [24, ['10s', '1m', '15m'], 60_000],
  [168, ['10s', '1m', '15m'], 900_000],
])('the newest %i h are read at %j', (hours, steps, baseMs) => {
  const levels = levelsFor({ from: NOW - hours * HOUR, to: NOW }, NOW, NOW - 60_000)
  expect([levels.queries.map(({ step }) => step), levels.baseMs]).toEqual([steps, baseMs])
})

test('finer levels are read from the last whole bucket of the base to the first sample', () => {
  const { queries } = levelsFor({ from: NOW - 168 * HOUR, to: NOW }, NOW, NOW - 60_000)
  expect(queries.map(({ from, to }) => [from?.slice(11, 19), to?.slice(11, 19)])).toEqual([
    ['14:04:00', '14:04:25'],
    ['14:00:00', '14:04:25'],
    ['14:05:25', '14:05:25'],
  ])
})

test('an old interval is read at every level, because finer ones may no longer be kept', () => {
  const { queries } = levelsFor({ from: NOW - 50 * HOUR, to: NOW - 49 * HOUR }, NOW, NOW)
  expect(queries.map(({ step }) => step)).toEqual(['10s', '1m', '15m'])
})
