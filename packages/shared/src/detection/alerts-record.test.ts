import { describe, expect, test } from 'vitest'
import { VERDICT_DEFAULTS } from '../analysis.ts'
import type { AlertEvent } from './alerts.ts'
import {
  type AlertRecord,
  acknowledge,
  alertId,
  heardRecord,
  levelShiftRecord,
  notice,
  openedRecord,
  resolvedId,
  resolvedRecord,
  type Surroundings,
  silentId,
  silentRecord,
  snooze,
  stormRecord,
  suppressedUntil,
} from './alerts-record.ts'
import { createPolicy } from './policy.ts'
import type { StormEvent } from './storm.ts'

const NOW = 1_700_000_000_000
const HOUR = 3_600_000
const PLACE = { partition: 3, key: 'edge-17/cpu', policy: createPolicy({ rule: 'cpu' }, VERDICT_DEFAULTS) }
const OPENED = {
  ...{ kind: 'opened', time: NOW, count: 51, value: 93.1, score: 9.19, threshold: 2 },
  ...{ by: 'instant', openedBefore: 0 },
} as const satisfies AlertEvent
const RESOLVED = {
  ...{ kind: 'resolved', time: NOW + HOUR, reason: 'calm', openedAt: NOW, openedCount: 51 },
  ...{ peak: 11, peakValue: 99, samples: 12 },
} as const satisfies AlertEvent
const FIRING = openedRecord(OPENED, { ...PLACE, judgement: { low: 15.9, high: 15.9, spread: 8.4 }, window: 50 })
const OPEN: Surroundings = { now: NOW + 1000, muted: null, isInStorm: false }
const NOTE = { who: 'ada', why: 'known', at: NOW + 1000 }

describe('an id', () => {
  test('follows from partition, kind, key and opening, and from nothing else', () => {
    const opening = { partition: 3, kind: 'anomaly', key: 'edge-17/cpu', count: 51, time: NOW } as const
    expect(alertId(opening)).toBe(FIRING.id)
    expect(alertId(opening)).toMatch(/^3-[0-9a-f]{24}$/)
    const others = [
      { partition: 4 },
      { kind: 'silent' as const },
      { key: 'edge-17/rps' },
      { count: 52 },
      { time: NOW + 1 },
    ]
    expect(new Set([FIRING.id, ...others.map(other => alertId({ ...opening, ...other }))]).size).toBe(6)
  })

  test('of a resolved event is that of its opening', () => {
    expect(resolvedId(RESOLVED, PLACE)).toBe(FIRING.id)
  })

  test('of a silence is the same at its beginning and its end', () => {
    const silence = { time: NOW, lastAt: NOW - HOUR, lastCount: 7 }
    const record = silentRecord({ kind: 'silent', expectedMs: 1000, ...silence }, PLACE)
    const heard = { kind: 'heard', ...silence, time: NOW + HOUR } as const
    expect(silentId(heard, PLACE)).toBe(record.id)
    expect(heardRecord(record, heard)).toMatchObject({
      state: 'resolved',
      resolve_reason: 'heard',
      resolved_at: NOW + HOUR,
    })
  })
})

describe('a record', () => {
  test('holds what opened the alert, and what was expected', () => {
    expect(FIRING).toMatchObject({
      ...{ key: 'edge-17/cpu', rule: 'cpu', severity: 'warning', state: 'firing', opened_at: NOW, resolved_at: null },
      cause: {
        kind: 'anomaly',
        evidence: { value: 93.1, score: 9.19, line: 6, by: 'instant', low: 15.9, window: 50 },
        peak: null,
      },
    })
    expect(
      openedRecord({ ...OPENED, by: 'samples' }, { ...PLACE, judgement: { low: 1, high: 1, spread: 1 }, window: 50 })
        .cause,
    ).toMatchObject({ evidence: { line: 3, samples: 2, of: 2 } })
  })

  test('holds how far it went once it is over', () => {
    expect(resolvedRecord(FIRING, RESOLVED)).toMatchObject({
      ...{ state: 'resolved', resolved_at: NOW + HOUR, resolve_reason: 'calm' },
      cause: { evidence: { value: 93.1 }, peak: { score: 11, value: 99, samples: 12 } },
    })
  })

  test('of a new level is over as it begins', () => {
    const policy = createPolicy({ hygiene: { isHeld: true, levelShiftAfter: 20 } }, VERDICT_DEFAULTS)
    expect(levelShiftRecord({ ...PLACE, policy }, { value: 30, count: 70, time: NOW })).toMatchObject({
      ...{ state: 'resolved', severity: 'info', opened_at: NOW, resolved_at: NOW },
      cause: { kind: 'level_shift', value: 30, samples: 20 },
    })
  })

  test('of a storm grows with it and ends with it', () => {
    const event: StormEvent = { kind: 'storm', time: NOW, openedAt: NOW, keys: ['a'], keyCount: 1, keysTotal: 4 }
    const begun = stormRecord(event, null)
    const grown = stormRecord({ ...event, kind: 'storm_grows', keys: ['a', 'b'], keyCount: 2 }, begun)
    const over = stormRecord({ ...event, kind: 'storm_over', time: NOW + HOUR, keyCount: 2 }, grown)
    expect([begun, grown, over].map(({ id, state }) => ({ id, state }))).toEqual([
      { id: `fleet-${NOW}`, state: 'firing' },
      { id: `fleet-${NOW}`, state: 'firing' },
      { id: `fleet-${NOW}`, state: 'resolved' },
    ])
    expect(grown.cause).toMatchObject({ keys: ['a', 'b'], key_count: 2 })
  })
})

/** Asks for notice again and again until it says nothing more. */
function tell(record: AlertRecord, surroundings: Surroundings): { record: AlertRecord; told: (string | null)[] } {
  const first = notice(record, surroundings)
  const second = notice(first.record, surroundings)
  expect(second).toEqual({ record: first.record, tell: null })
  return { record: first.record, told: [first.tell] }
}

describe('receivers', () => {
  test('are told once that an alert fires, and once that it is over', () => {
    const fires = tell(FIRING, OPEN)
    expect(fires.told).toEqual(['firing'])
    expect(tell(resolvedRecord(fires.record, RESOLVED), OPEN).told).toEqual(['resolved'])
  })

  test('are not told of the end of what they were never told of', () => {
    const muted = tell(FIRING, { ...OPEN, muted: { until: NOW + HOUR } })
    expect(tell(resolvedRecord(muted.record, RESOLVED), OPEN).told).toEqual([null])
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
    expect(tell(resolvedRecord(during.record, RESOLVED), OPEN).told).toEqual(['resolved'])
  })
})

describe('an operator', () => {
  test('acknowledges with name and reason', () => {
    expect(acknowledge(FIRING, NOTE)).toMatchObject({ kind: 'done', record: { acknowledged: NOTE, state: 'firing' } })
    expect(acknowledge(FIRING, { ...NOTE, who: '' })).toEqual({ kind: 'refused', reason: 'who must not be empty' })
    expect(acknowledge(FIRING, { ...NOTE, why: '' })).toEqual({ kind: 'refused', reason: 'why must not be empty' })
  })

  test('can do nothing about what is over, and puts nothing off into the past', () => {
    const over = resolvedRecord(FIRING, RESOLVED)
    expect(acknowledge(over, NOTE)).toEqual({ kind: 'refused', reason: 'the alert is resolved already' })
    expect(snooze(over, { ...NOTE, until: NOW + HOUR })).toEqual({
      kind: 'refused',
      reason: 'the alert is resolved already',
    })
    expect(snooze(FIRING, { ...NOTE, until: NOW })).toEqual({ kind: 'refused', reason: 'until must be in the future' })
  })
})
