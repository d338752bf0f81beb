import { expect, test } from 'vitest'
import { compressed, groupings, inlined, selectorsOf, withBoolComparisons } from './promql.ts'

test('the metrics, matchers, ranges and groupings of an expression are extracted', () => {
  const expression = 'sum by (a, b) (rate(x_total{route="/i",status=~"5.."}[5m])) / sum(y)'
  expect(selectorsOf(expression)).toEqual([
    {
      metric: 'x_total',
      range: '5m',
      matchers: [
        { label: 'route', operator: '=', value: '/i' },
        { label: 'status', operator: '=~', value: '5..' },
      ],
    },
    { metric: 'y', matchers: [] },
  ])
  expect(groupings(expression)).toEqual([['a', 'b'], []])
})

test('invalid PromQL is rejected', () => {
  expect(() => selectorsOf('sum by (a (x)')).toThrow('no PromQL')
  expect(() => selectorsOf('rate(x[$__rate_interval])')).toThrow('no PromQL')
})

test('ranges, subqueries and offsets are compressed; numbers are not', () => {
  expect(compressed('deriv((x > 300)[1h:1m] offset 1h30m) > 60 * y', 30)).toBe(
    'deriv((x > 300)[120000ms:2000ms] offset 180000ms) > 60 * y',
  )
})

test('comparisons become bool, and the sides of `unless` become separate expressions', () => {
  expect(withBoolComparisons('a > 1 and b == 2')).toEqual(['a > bool 1 and b == bool 2'])
  expect(withBoolComparisons('a{b!="x"} / (b > 0) > 0.1 unless sum by (n) (c) > 0')).toEqual([
    'a{b!="x"} / (b > bool 0) > bool 0.1',
    'sum by (n) (c) > bool 0',
  ])
  expect(withBoolComparisons('a > bool 1')).toEqual(['a > bool 1'])
})

test('a recorded name is inlined, and a range of it becomes a subquery', () => {
  const recorded = new Map([
    ['n:x:sum', 'sum by (n) (x)'],
    ['n:x:old', 'max_over_time(n:x:sum[1h])'],
  ])
  expect(inlined('n:x:sum < n:x:old and deriv(n:x:sum[10m]) > 0', recorded)).toBe(
    '(sum by (n) (x)) < (max_over_time((sum by (n) (x))[1h:])) and deriv((sum by (n) (x))[10m:]) > 0',
  )
  expect(inlined('n:x:sum{n="a"} + deriv(n:x:sum{n="a"}[10m])', recorded)).toBe(
    '(sum by (n) (x)) + deriv((sum by (n) (x))[10m:])',
  )
})
