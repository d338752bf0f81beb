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
  ...{ kind: 'opened', time: NOW, count: 51, value: 93.1, score: 9.19, threshold: 2 },
  ...{ by: 'instant', openedBefore: 0 },
} as const satisfies AlertEvent
const RESOLVED = {
  ...{ kind: 'resolved', time: NOW + HOUR, reason: 'calm', openedAt: NOW, openedCount: 51 },
  ...{ peak: 11, peakValue: 99, samples: 12 },
} as const satisfies AlertEvent
const JUDGEMENT = { low: 15.9, high: 15.9, spread: 8.4 }
const OPENING = anomalyOpening(OPENED, { ...PLACE, judgement: JUDGEMENT, window: 50 })
const FIRING = assembleAlert({ opening: OPENING, end: null, operator: null, notification: null })
const OPEN: Suppression = { now: NOW + 1000, muted: null, isInStorm: false }
const NOTE = { who: 'ada', why: 'known', at: NOW + 1000 }

/** The same alert once it is resolved. */
function over(record: AlertRecord): AlertRecord {
  return { ...record, state: 'resolved', ...anomalyEnd(RESOLVED) }
}

/** Asks for notice again and again until it says nothing more. */
function tell(record: AlertRecord, suppression: Suppression): { record: AlertRecord; told: (string | null)[] } {
  const first = decideNotification(record, suppression)
  const second = decideNotification(first.record, suppression)
  expect(second).toEqual({ record: first.record, notify: null })
  return { record: first.record, told: [first.notify] }
}

describe('receivers', () => {
  test('are told once that an alert fires, and once that it is over', () => {
    const fires = tell(FIRING, OPEN)
    expect(fires.told).toEqual(['firing'])
    expect(tell(over(fires.record), OPEN).told).toEqual(['resolved'])
  })

  test('are not told of the end of what they were never told of', () => {
    const muted = tell(FIRING, { ...OPEN, muted: { until: NOW + HOUR } })
    expect(tell(over(muted.record), OPEN).told).toEqual([null])
  })

  test('are told when the mute is over, if the alert still fires; that it was held back is counted once', () => {
    const muted = { until: NOW + HOUR }
    const first = tell(FIRING, { ...OPEN, muted })
    expect(first.told).toEqual([null])
    expect(first.record).toMatchObject({ suppressed_by: 'mute', suppressed: { mute: 1, snooze: 0, storm: 0 } })
    expect(suppressedUntil(first.record, { muted })).toBe(NOW + HOUR)
    const later = tell(first.record, { ...OPEN, muted, now: NOW + HOUR })
    expect(later.told).toEqual(['firing'])
    expect(later.record).toMatchObject({ suppressed_by: null, suppressed: { mute: 1 } })
    expect(suppressedUntil(later.record, { muted })).toBe(Number.POSITIVE_INFINITY)
  })

  test('are told of the storm, not of each key in it', () => {
    const inside = tell(FIRING, { ...OPEN, isInStorm: true })
    expect(inside.told).toEqual([null])
    expect(inside.record.suppressed).toEqual({ mute: 0, snooze: 0, storm: 1 })
    expect(tell(inside.record, OPEN).told).toEqual(['firing'])
  })

  test('are told again after a snooze, and of the end during one', () => {
    const { record } = tell(FIRING, OPEN)
    const outcome = snooze(record, { ...NOTE, until: NOW + HOUR })
    if (outcome.kind !== 'done') throw new Error(outcome.reason)
    const during = tell(outcome.record, OPEN)
    expect(during.told).toEqual([null])
    expect(during.record.suppressed.snooze).toBe(1)
    expect(tell(during.record, { ...OPEN, now: NOW + HOUR }).told).toEqual(['firing'])
    expect(tell(over(during.record), OPEN).told).toEqual(['resolved'])
  })
})

describe('an operator', () => {
  test('acknowledges with name and reason', () => {
    expect(acknowledge(FIRING, NOTE)).toMatchObject({ kind: 'done', record: { acknowledged: NOTE, state: 'firing' } })
    expect(acknowledge(FIRING, { ...NOTE, who: '' })).toEqual({ kind: 'refused', reason: 'who must not be empty' })
    expect(acknowledge(FIRING, { ...NOTE, why: '' })).toEqual({ kind: 'refused', reason: 'why must not be empty' })
  })

  test('can do nothing about what is over, and puts nothing off into the past', () => {
    const resolved = over(FIRING)
    expect(acknowledge(resolved, NOTE)).toEqual({ kind: 'refused', reason: 'the alert is already resolved' })
    expect(snooze(resolved, { ...NOTE, until: NOW + HOUR })).toEqual({
      kind: 'refused',
      reason: 'the alert is already resolved',
    })
    expect(snooze(FIRING, { ...NOTE, until: NOW })).toEqual({ kind: 'refused', reason: 'until must be in the future' })
  })
})
