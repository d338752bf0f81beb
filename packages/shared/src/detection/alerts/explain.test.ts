import { expect, test } from 'vitest'
import type { AlertEvent } from './alert.ts'
import { ALERT_DEFAULTS, QUIET_ALERT_DEFAULTS } from './defaults.ts'
import { explainAlert } from './explain.ts'
import { acknowledge } from './notification.ts'
import { anomalyEnd, anomalyOpening, levelShift, silentOpening, stormOpening } from './openings.ts'
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
