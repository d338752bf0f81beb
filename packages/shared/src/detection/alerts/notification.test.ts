import { describe, expect, test } from 'vitest'
import type { AlertEvent } from './alert.ts'
import { ALERT_DEFAULTS } from './defaults.ts'
import { acknowledge, decideNotification, type Suppression, snooze, suppressedUntil } from './notification.ts'
import { anomalyEnd, anomalyOpening } from './openings.ts'
import { type AlertRecord, assembleAlert } from './record.ts'

const NOW = 1_700_000_000_000
const HOUR = 3_600_000
const POLICY = { rule: 'cpu', detector: 'zscore', alert: ALERT_DEFAULTS, hygiene: { levelShiftAfter: 0 } }
const PLACE = { partition: 3, key: 'edge-17/cpu', policy: POLICY }
const OPENED = {
  kind: 'opened',
  time: NOW,
  count: 51,
  value: 93.1,
  score: 9.19,
  threshold: 2,
  by: 'instant',
  openedBefore: 0,
} as const satisfies AlertEvent
const RESOLVED = {
  kind: 'resolved',
  time: NOW + HOUR,
  reason: 'calm',
  openedAt: NOW,
  openedCount: 51,
  peak: 11,
  peakValue: 99,
  samples: 12,
} as const satisfies AlertEvent
const JUDGEMENT = { low: 15.9, high: 15.9, spread: 8.4 }
const OPENING = anomalyOpening(OPENED, { ...PLACE, judgement: JUDGEMENT, window: 50 })
const FIRING = assembleAlert({ opening: OPENING, end: null, operator: null, notification: null })
const OPEN: Suppression = { now: NOW + 1000, muted: null, isInStorm: false }
const NOTE = { who: 'ada', why: 'known', at: NOW + 1000 }

/** The same alert once it is resolved. */
function resolved(record: AlertRecord): AlertRecord {
  return { ...record, state: 'resolved', ...anomalyEnd(RESOLVED) }
}

/** Decides until nothing more is decided. */
function decide(record: AlertRecord, suppression: Suppression): { record: AlertRecord; notified: (string | null)[] } {
  const first = decideNotification(record, suppression)
  const second = decideNotification(first.record, suppression)
  expect(second).toEqual({ record: first.record, notify: null })
  return { record: first.record, notified: [first.notify] }
}

describe('receivers', () => {
  test('are notified once that an alert fires, and once that it is resolved', () => {
    const fires = decide(FIRING, OPEN)
    expect(fires.notified).toEqual(['firing'])
    expect(decide(resolved(fires.record), OPEN).notified).toEqual(['resolved'])
  })

  test('are not notified of the end of an alert whose opening was suppressed', () => {
    const muted = decide(FIRING, { ...OPEN, muted: { until: NOW + HOUR } })
    expect(decide(resolved(muted.record), OPEN).notified).toEqual([null])
  })

  test('are notified after the mute if the alert still fires; the suppression is counted once', () => {
    const muted = { until: NOW + HOUR }
    const first = decide(FIRING, { ...OPEN, muted })
    expect(first.notified).toEqual([null])
    expect(first.record).toMatchObject({ suppressed_by: 'mute', suppressed: { mute: 1, snooze: 0, storm: 0 } })
    expect(suppressedUntil(first.record, { muted })).toBe(NOW + HOUR)
    const later = decide(first.record, { ...OPEN, muted, now: NOW + HOUR })
    expect(later.notified).toEqual(['firing'])
    expect(later.record).toMatchObject({ suppressed_by: null, suppressed: { mute: 1 } })
    expect(suppressedUntil(later.record, { muted })).toBe(Number.POSITIVE_INFINITY)
  })

  test('are notified of the storm, not of each key in it', () => {
    const inside = decide(FIRING, { ...OPEN, isInStorm: true })
    expect(inside.notified).toEqual([null])
    expect(inside.record.suppressed).toEqual({ mute: 0, snooze: 0, storm: 1 })
    expect(decide(inside.record, OPEN).notified).toEqual(['firing'])
  })

  test('are notified again after a snooze, and of the end during one', () => {
    const { record } = decide(FIRING, OPEN)
    const outcome = snooze(record, { ...NOTE, until: NOW + HOUR })
    if (outcome.kind !== 'done') throw new Error(outcome.reason)
    const during = decide(outcome.record, OPEN)
    expect(during.notified).toEqual([null])
    expect(during.record.suppressed.snooze).toBe(1)
    expect(decide(during.record, { ...OPEN, now: NOW + HOUR }).notified).toEqual(['firing'])
    expect(decide(resolved(during.record), OPEN).notified).toEqual(['resolved'])
  })
})

describe('an operator', () => {
  test('acknowledges an alert with name and reason', () => {
    expect(acknowledge(FIRING, NOTE)).toMatchObject({ kind: 'done', record: { acknowledged: NOTE, state: 'firing' } })
    expect(acknowledge(FIRING, { ...NOTE, who: '' })).toEqual({ kind: 'refused', reason: 'who must not be empty' })
    expect(acknowledge(FIRING, { ...NOTE, why: '' })).toEqual({ kind: 'refused', reason: 'why must not be empty' })
  })

  test('cannot act on a resolved alert or snooze it until a past time', () => {
    const ended = resolved(FIRING)
    expect(acknowledge(ended, NOTE)).toEqual({ kind: 'refused', reason: 'the alert is already resolved' })
    expect(snooze(ended, { ...NOTE, until: NOW + HOUR })).toEqual({
      kind: 'refused',
      reason: 'the alert is already resolved',
    })
    expect(snooze(FIRING, { ...NOTE, until: NOW })).toEqual({ kind: 'refused', reason: 'until must be in the future' })
  })
})
