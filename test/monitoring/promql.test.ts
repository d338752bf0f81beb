import { expect, test } from 'vitest'
import { compressed, groupings, inlined, questioned, selectorsOf } from './promql.ts'

test('an expression tells its metrics, matchers, ranges and groupings', () => {
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

test('what is not PromQL is refused', () => {
  expect(() => selectorsOf('sum by (a (x)')).toThrow('no PromQL')
  expect(() => selectorsOf('rate(x[$__rate_interval])')).toThrow('no PromQL')
})

test('ranges, subqueries and offsets are compressed, numbers are not', () => {
  expect(compressed('deriv((x > 300)[1h:1m] offset 1h30m) > 60 * y', 30)).toBe(
    'deriv((x > 300)[120000ms:2000ms] offset 180000ms) > 60 * y',
  )
})

test('comparisons are asked for their truth, and the sides of unless by themselves', () => {
  expect(questioned('a > 1 and b == 2')).toEqual(['a > bool 1 and b == bool 2'])
  expect(questioned('a{b!="x"} / (b > 0) > 0.1 unless sum by (n) (c) > 0')).toEqual([
    'a{b!="x"} / (b > bool 0) > bool 0.1',
    'sum by (n) (c) > bool 0',
  ])
  expect(questioned('a > bool 1')).toEqual(['a > bool 1'])
})

test('a recorded name is written out, and a range of it becomes a subquery', () => {
  const recorded = new Map([
    ['n:x:sum', 'sum by (n) (x)'],
    ['n:x:old', 'max_over_time(n:x:sum[1h])'],
  ])
  expect(inlined('n:x:sum < n:x:old and deriv(n:x:sum[10m]) > 0', recorded)).toBe(
    '(sum by (n) (x)) < (max_over_time((sum by (n) (x))[1h:])) and deriv((sum by (n) (x))[10m:]) > 0',
  )
})
