import { expect, test } from 'vitest'
import { p95Between, parseTimes } from './gateway-times.ts'

const bucket = (route: string, le: string, count: number): string =>
  `gateway_http_request_seconds_bucket{le="${le}",route="${route}"} ${count}`

function page(ingest: readonly number[], analyze: readonly number[] = []): string {
  const bounds = ['0.001', '0.01', '0.1', '+Inf']
  return [
    '# TYPE gateway_http_request_seconds histogram',
    ...ingest.map((count, i) => bucket('/ingest', bounds[i] ?? '', count)),
    ...analyze.map((count, i) => bucket('/analyze', bounds[i] ?? '', count)),
    bucket('/metrics', '+Inf', 3),
    'gateway_http_request_seconds_sum{route="/ingest"} 0.5',
  ].join('\n')
}

test('the p95 covers the requests between two readings, interpolated within its bucket', () => {
  const before = parseTimes(page([100, 100, 100, 100]))
  const after = parseTimes(page([190, 200, 200, 200], [0, 0, 90, 100]))
  // 90 of 100 requests took up to 1 ms and 10 more up to 10 ms: the p95 is in the middle of these.
  // For the other route it is above the last bound.
  expect(p95Between(before, after)).toEqual([
    { route: '/ingest', ms: expect.closeTo(5.5) },
    { route: '/analyze', ms: 100 },
  ])
})

test('there is no p95 without measurements', () => {
  expect(p95Between(new Map(), parseTimes(page([0, 0, 0, 0])))).toEqual([])
  expect(p95Between(new Map(), new Map())).toEqual([])
})
