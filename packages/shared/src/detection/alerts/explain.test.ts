import { describe, expect, test } from 'vitest'
import type { AlertEvent } from './alert.ts'
import { ALERT_DEFAULTS, QUIET_ALERT_DEFAULTS } from './defaults.ts'
import { explainAlert } from './explain.ts'
import { acknowledge } from './notification.ts'
import { anomalyEnd, anomalyOpening, levelShift, silentOpening, stormEnd, stormOpening } from './openings.ts'
import { type AlertEnd, type AlertOpening, type AlertRecord, assembleAlert } from './record.ts'

const NOW = Date.UTC(2026, 10, 24, 12)
const POLICY = { rule: null, detector: 'zscore', alert: ALERT_DEFAULTS, hygiene: { levelShiftAfter: 0 } }
const PLACE = { partition: 3, key: 'edge-17/cpu', policy: POLICY }
const OPENED = {
  kind: 'opened',
  time: NOW,
  count: 51,
  value: 93.12,
  score: 9.193,
  threshold: 2,
  by: 'instant',
  openedBefore: 0,
} as const satisfies AlertEvent
const EXPECTED = { low: 15.93, high: 15.93, spread: 8.41 }
const FIRING = firing(anomalyOpening(OPENED, { ...PLACE, judgement: EXPECTED, window: 50 }))

function firing(opening: AlertOpening, end: AlertEnd | null = null): AlertRecord {
  return assembleAlert({ opening, end, operator: null, notification: null })
}

const explain = (event: Partial<Extract<AlertEvent, { kind: 'opened' }>>, judgement = EXPECTED): string =>
  explainAlert(firing(anomalyOpening({ ...OPENED, ...event }, { ...PLACE, judgement, window: 50 })))

test('an anomaly names the value, the expected values and the evidence', () => {
  expect(explainAlert(FIRING)).toBe(
    'cpu of edge-17 rose to 93.1; the previous 50 samples were 15.9 +- 8.41 (z +9.19, alert threshold 6). Firing since 2026-11-24T12:00:00Z.',
  )
  expect(explain({ score: -4, value: -2, by: 'samples' })).toContain(
    'cpu of edge-17 fell to -2; the previous 50 samples were 15.9 +- 8.41 (z -4, 2 in a row beyond the alert threshold 3).',
  )
  expect(explain({ score: 2.4, by: 'sustained' })).toContain(
    '(z +2.4, raised by the sum of smaller deviations to the same side).',
  )
})

test('an anomaly of a flat window names the one value of that window', () => {
  expect(explain({ score: 1e6, value: 5.1 }, { low: 5, high: 5, spread: 0 })).toContain(
    'cpu of edge-17 rose to 5.1; the previous 50 samples were all 5 (z off the scale, alert threshold 6).',
  )
})

test('an anomaly of a detector with a range names the range', () => {
  const policy = { ...POLICY, detector: 'range', alert: QUIET_ALERT_DEFAULTS }
  const judgement = { low: 3.1234, high: 8, spread: 4.86 }
  const event = { ...OPENED, threshold: 0.05 }
  const record = firing(anomalyOpening(event, { ...PLACE, policy, judgement, window: 50 }))
  expect(explainAlert(record)).toContain('rose to 93.1; expected 3.12 to 8 (range +9.19, alert threshold ')
})

test('a resolved alert names its duration, its end and its peak', () => {
  const end = anomalyEnd({
    kind: 'resolved',
    time: NOW + 750_000,
    reason: 'calm',
    openedAt: NOW,
    openedCount: 51,
    peak: 11,
    peakValue: 99.44,
    samples: 34,
  })
  const over = { ...FIRING, state: 'resolved' as const, ...end }
  expect(explainAlert(over)).toMatch(
    /\(z \+9\.19, alert threshold 6\)\. Resolved after 12\.5 min: values are back to normal\. Peak of 34 samples: 99\.4\.$/,
  )
  expect(explainAlert({ ...over, resolve_reason: 'no_samples' })).toContain(
    'Resolved after 12.5 min: no more samples arrived.',
  )
})

test('a silence names the last sample, the expected interval and when the alert was raised', () => {
  const event = { kind: 'silent', time: NOW, lastAt: NOW - 180_000, lastCount: 9, expectedMs: 60_000 } as const
  expect(explainAlert(firing(silentOpening(event, PLACE)))).toBe(
    'No samples from cpu of edge-17 since 2026-11-24T11:57:00Z (expected every 60 s); alert raised at 2026-11-24T12:00:00Z.',
  )
})

test('a level shift explains why the band moved', () => {
  const policy = { ...POLICY, hygiene: { levelShiftAfter: 20 } }
  const { opening, end } = levelShift({ ...PLACE, policy }, { value: 30, count: 70, time: NOW })
  expect(explainAlert(firing(opening, end))).toBe(
    'cpu of edge-17 has a new level: 20 consecutive samples were anomalies on the same side, the last one 30. The new level is now the baseline.',
  )
})

test('an alert storm lists some of its keys', () => {
  const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  const event = { kind: 'storm', time: NOW, openedAt: NOW, keys, keyCount: 9, keysTotal: 30 } as const
  expect(explainAlert(firing(stormOpening(event)))).toContain(
    '9 of 30 keys raised an alert within a short time: a, b, c, d, e and 4 more.',
  )
})

test('an acknowledgement and a suppressed notification are named', () => {
  const outcome = acknowledge({ ...FIRING, suppressed_by: 'mute' }, { who: 'ada', why: 'new racks', at: NOW })
  if (outcome.kind !== 'done') throw new Error(outcome.reason)
  expect(explainAlert(outcome.record)).toMatch(
    / Acknowledged by ada: new racks\. Notification suppressed: the key is muted\.$/,
  )
})

test('a key without parts is named as it is', () => {
  const record = { ...FIRING, key: '/rps' }
  expect(explainAlert(record)).toMatch(/^\/rps rose/)
})

describe('numbers', () => {
  const sentence = (value: number, low: number, high = low, spread = 0): string =>
    explain({ value, score: value > high ? 9 : -9 }, { low, high, spread })

  test.each([
    [1e15 + 1, 1e15, 'rose to 1000000000000001; the previous 50 samples were all 1000000000000000 ('],
    [2e15, 1e15, 'rose to 2e15; the previous 50 samples were all 1e15 ('],
    [1e300, 0, 'rose to 1e300; the previous 50 samples were all 0 ('],
    [-1e300, 1e-9, 'fell to -1e300; the previous 50 samples were all 1e-9 ('],
    [0, 5, 'fell to 0; the previous 50 samples were all 5 ('],
    [1013.26, 1013.25, 'rose to 1013.26; the previous 50 samples were all 1013.25 ('],
    [1013.96, 990.5, 'rose to 1014; the previous 50 samples were all 991 ('],
    [20.000000001, 20, 'rose to 20.000000001; the previous 50 samples were all 20 ('],
    [0.30000000000000004, 0.3, 'rose to 0.30000000000000004; the previous 50 samples were all 0.3 ('],
    [-12.3456, -0.00001, 'fell to -12.3; the previous 50 samples were all -1e-5 ('],
    [12_345_678.9, 1234.5, 'rose to 1.23e7; the previous 50 samples were all 1235 ('],
  ])('of %d after %d', (value, low, expected) => {
    expect(sentence(value, low)).toContain(expected)
  })

  test('of a range differ from the value beyond it', () => {
    expect(sentence(5.0004, 4.1, 5.0001, 1)).toContain('rose to 5.0004; expected 4.1 to 5.0001 (')
  })

  test('of one sample, one key and one more are in the singular', () => {
    const event = { kind: 'storm', time: NOW, openedAt: NOW, keys: ['a'], keyCount: 1, keysTotal: 1 } as const
    expect(explainAlert(firing(stormOpening(event)))).toContain('1 of 1 key raised')
    const end: AlertEnd = { resolved_at: NOW, resolve_reason: 'calm', peak: { score: 9, value: 95.4, samples: 1 } }
    expect(explainAlert(firing(FIRING, end))).toContain('Resolved after 0 ms')
    expect(explainAlert(firing(FIRING, end))).toContain('Peak of 1 sample: 95.4.')
  })
})

test('a storm whose keys were not counted yet has as many as it names', () => {
  const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
  const event = { kind: 'storm', time: NOW, openedAt: NOW, keys, keyCount: 12, keysTotal: 0 } as const
  expect(explainAlert(firing(stormOpening(event)))).toContain('12 of 12 keys raised')
})

test('a storm that lasted too long is explained', () => {
  const event = { kind: 'storm', time: NOW, openedAt: NOW, keys: [], keyCount: 12, keysTotal: 30 } as const
  const end = stormEnd({ ...event, kind: 'storm_over', time: NOW + 1_800_000, isExpired: true })
  expect(explainAlert(firing(stormOpening(event), end))).toContain('Resolved after 30 min: it lasted too long')
})

test('an unusual variation around a usual value neither rose nor fell', () => {
  const policy = { ...POLICY, detector: 'habit', alert: QUIET_ALERT_DEFAULTS }
  const event = { ...OPENED, value: 5, score: 0.4, threshold: 0.045 }
  const record = firing(
    anomalyOpening(event, { ...PLACE, policy, judgement: { low: 5, high: 5, spread: 3 }, window: 50 }),
  )
  expect(explainAlert(record)).toContain('cpu of edge-17 varies unusually, last 5; the previous samples were 5 +- 3 (')
})

test('an alert of the guard says that the value is new, or follows one that was', () => {
  const policy = { ...PLACE.policy, guard: 'memory' as const }
  const explained = (by: 'instant' | 'samples' | 'sustained'): string =>
    explainAlert(firing(anomalyOpening({ ...OPENED, by }, { ...PLACE, policy, judgement: EXPECTED, window: 50 })))
  expect(explained('instant')).toContain(', new for this key).')
  expect(explained('samples')).toContain(', follows a value that was new for this key).')
  expect(explained('sustained')).toContain('sum of smaller deviations')
})

describe('a value outside the range of its rule', () => {
  const policy = { ...PLACE.policy, rule: 'boiler', range: { min: 0, max: Number.POSITIVE_INFINITY }, unit: '°C' }
  const explained = (value: number, changes: object, judgement = EXPECTED): string => {
    const event = { ...OPENED, value, score: value < 0 ? -2 : 2, by: 'range' as const }
    return explainAlert(
      firing(anomalyOpening(event, { ...PLACE, policy: { ...policy, ...changes }, judgement, window: 0 })),
    )
  }
  const WARMING = { low: Number.NaN, high: Number.NaN, spread: Number.NaN }

  test('is explained by the limit, also of a warming key', () => {
    const range = { min: 0, max: 90 }
    expect(explained(93.12, { range })).toContain(
      'cpu of edge-17 rose to 93.1 °C; the rule boiler allows at most 90 °C. F',
    )
    expect(explained(-2, {}, WARMING)).toContain(
      'cpu of edge-17 fell to -2 °C; the rule boiler allows at least 0 °C. F',
    )
    expect(explained(90.000001, { range, unit: null })).toContain(
      'rose to 90.000001; the rule boiler allows at most 90.',
    )
    expect(explained(120, { range, isCounter: true, unit: 'bytes' })).toContain(
      '120 bytes/s; the rule boiler allows at most 90 bytes/s.',
    )
  })
})

test('numbers have the unit of the rule', () => {
  const explained = (changes: object): string => {
    const policy = { ...PLACE.policy, ...changes }
    return explainAlert(
      firing(anomalyOpening({ ...OPENED, value: 812 }, { ...PLACE, policy, judgement: EXPECTED, window: 50 })),
    )
  }
  expect(explained({ unit: 'ms' })).toContain('rose to 812 ms; the previous 50 samples were 15.9 +- 8.41 ms (z +9.19, ')
  expect(explained({ isCounter: true })).toContain(
    'rose to 812 per second; the previous 50 samples were 15.9 +- 8.41 (',
  )
  expect(explained({ isCounter: true, unit: 'req' })).toContain(
    'rose to 812 req/s; the previous 50 samples were 15.9 +- 8.41 req/s (',
  )
  const shift = levelShift({ ...PLACE, policy: { ...POLICY, isCounter: true } }, { value: 30, count: 70, time: NOW })
  expect(explainAlert(firing(shift.opening, shift.end))).toContain('the last one 30 per second.')
})
