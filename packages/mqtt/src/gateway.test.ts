import { TidemarkError } from '@tidemark/client/error'
import { describe, expect, test } from 'vitest'
import { isRefusal, pauseMs } from './gateway.ts'

const failure = (status: number, kind = 'x', retryAfterMs?: number) =>
  new TidemarkError('no', {
    status,
    problem: { type: `urn:tidemark:problem:${kind}`, title: 'No', status },
    retryAfterMs,
  })

describe('a failure', () => {
  test.each([400, 413, 415, 422])('with %i is a refusal of the samples', status => {
    expect(isRefusal(failure(status))).toBe(true)
  })

  test.each([0, 202, 302, 401, 403, 404, 408, 429, 500, 503])('with %i may pass', status => {
    expect(isRefusal(failure(status))).toBe(false)
  })

  test.each(['keys-limit-reached', 'key-forbidden'])('of the kind %s is a refusal', kind => {
    expect(isRefusal(failure(403, kind))).toBe(true)
    expect(isRefusal(failure(503, kind))).toBe(false)
  })

  test('is followed by the pause of its Retry-After, but by some and by no endless one', () => {
    expect(pauseMs(failure(503, 'x', 20_000), 0)).toBe(20_000)
    expect(pauseMs(failure(503, 'x', 3_600_000), 0)).toBe(60_000)
    expect(pauseMs(failure(503, 'x', 0), 3)).toBeGreaterThanOrEqual(800)
    expect(pauseMs(failure(0), 30)).toBeLessThanOrEqual(10_000)
  })
})
