import { describe, expect, test } from 'vitest'
import type { AlertEvent } from './alert.ts'
import { ALERT_DEFAULTS } from './defaults.ts'
import {
  alertId,
  anomalyEnd,
  anomalyOpening,
  heardEnd,
  levelShift,
  resolvedId,
  silentId,
  silentOpening,
  stormEnd,
  stormOpening,
} from './openings.ts'
import { assembleAlert, formatOpening, NOT_NOTIFIED, parseAlert, partitionOfAlert } from './record.ts'
import type { StormEvent } from './storm.ts'

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
const FIRING = anomalyOpening(OPENED, { ...PLACE, judgement: JUDGEMENT, window: 50 })

describe('an id', () => {
  test('depends only on partition, kind, key and opening', () => {
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

  test('of a silence is the same at its start and its end', () => {
    const silence = { time: NOW, lastAt: NOW - HOUR, lastCount: 7 }
    const opening = silentOpening({ kind: 'silent', expectedMs: 1000, ...silence }, PLACE)
    const heard = { kind: 'heard', ...silence, time: NOW + HOUR } as const
    expect(silentId(heard, PLACE)).toBe(opening.id)
    expect(heardEnd(heard)).toEqual({ resolve_reason: 'heard', resolved_at: NOW + HOUR, peak: null })
  })
})

describe('an alert', () => {
  test('holds the evidence and the expected values', () => {
    expect(FIRING).toMatchObject({
      key: 'edge-17/cpu',
      rule: 'cpu',
      severity: 'warning',
      opened_at: NOW,
      cause: { kind: 'anomaly', evidence: { value: 93.1, score: 9.19, line: 6, by: 'instant', low: 15.9, window: 50 } },
    })
    const bySamples = anomalyOpening({ ...OPENED, by: 'samples' }, { ...PLACE, judgement: JUDGEMENT, window: 50 })
    expect(bySamples.cause).toMatchObject({ evidence: { line: 3, samples: 2, of: 2 } })
  })

  test('holds its peak once it is resolved', () => {
    const record = assembleAlert({ opening: FIRING, end: anomalyEnd(RESOLVED), operator: null, notification: null })
    expect(record).toMatchObject({
      id: FIRING.id,
      state: 'resolved',
      resolved_at: NOW + HOUR,
      resolve_reason: 'calm',
      peak: { score: 11, value: 99, samples: 12 },
    })
  })

  test('fires without an end; without operator and notification state these have their defaults', () => {
    expect(assembleAlert({ opening: FIRING, end: null, operator: null, notification: null })).toMatchObject({
      state: 'firing',
      resolved_at: null,
      acknowledged: null,
      snoozed: null,
      told: 0,
      suppressed_by: null,
    })
  })

  test('of a level shift is resolved at once', () => {
    const policy = { ...POLICY, hygiene: { levelShiftAfter: 20 } }
    expect(levelShift({ ...PLACE, policy }, { value: 30, count: 70, time: NOW })).toMatchObject({
      opening: { severity: 'info', opened_at: NOW, cause: { kind: 'level_shift', value: 30, samples: 20 } },
      end: { resolved_at: NOW },
    })
  })

  test('of a storm grows and ends with the storm, under one id', () => {
    const event: StormEvent = { kind: 'storm', time: NOW, openedAt: NOW, keys: ['a'], keyCount: 1, keysTotal: 4 }
    const grown = stormOpening({ ...event, kind: 'storm_grows', time: NOW + 1, keys: ['a', 'b'], keyCount: 2 })
    expect(grown).toMatchObject({ id: stormOpening(event).id, key: null, cause: { keys: ['a', 'b'], key_count: 2 } })
    expect(stormEnd({ ...event, kind: 'storm_over', time: NOW + HOUR })).toMatchObject({ resolved_at: NOW + HOUR })
  })
})

describe('a stored alert', () => {
  const RECORD = {
    opening: JSON.stringify(FIRING),
    end: JSON.stringify(anomalyEnd(RESOLVED)),
    acknowledged: JSON.stringify({ who: 'mira', why: 'the fan', at: NOW }),
    snoozed: JSON.stringify({ who: 'mira', why: 'lunch', at: NOW, until: NOW + HOUR }),
    notification: JSON.stringify({ ...NOT_NOTIFIED, told: 1, suppressed_by: 'mute' }),
  }
  const NEVER_WRITTEN = { end: null, acknowledged: null, snoozed: '', notification: undefined }

  test('is parsed from the texts of its parts', () => {
    expect(parseAlert(RECORD)).toEqual({
      opening: FIRING,
      end: anomalyEnd(RESOLVED),
      operator: {
        acknowledged: { who: 'mira', why: 'the fan', at: NOW },
        snoozed: { who: 'mira', why: 'lunch', at: NOW, until: NOW + HOUR },
      },
      notification: { ...NOT_NOTIFIED, told: 1, suppressed_by: 'mute' },
    })
    expect(parseAlert({ ...NEVER_WRITTEN, opening: RECORD.opening })).toEqual({
      opening: FIRING,
      end: null,
      operator: null,
      notification: null,
    })
  })

  test.each([
    silentOpening({ kind: 'silent', time: NOW, lastAt: NOW - HOUR, lastCount: 7, expectedMs: 1000 }, PLACE),
    levelShift(PLACE, { value: 30, count: 70, time: NOW }).opening,
    stormOpening({ kind: 'storm', time: NOW, openedAt: NOW, keys: ['a'], keyCount: 1, keysTotal: 4 }),
  ])('of any cause is parsed; members of a newer version are ignored', opening => {
    const newer = JSON.stringify({ ...opening, tags: ['x'], cause: { ...opening.cause, more: 1 } })
    expect(parseAlert({ ...NEVER_WRITTEN, opening: newer })?.opening).toEqual(opening)
  })

  test('opened by the range of a rule is stored as earlier versions can read it, and is parsed as it was', () => {
    const policy = { ...PLACE.policy, range: { min: Number.NEGATIVE_INFINITY, max: 90 }, unit: '%' }
    const event = {
      kind: 'opened',
      time: NOW,
      count: 1,
      value: 93,
      score: 2,
      threshold: 2,
      by: 'range',
      openedBefore: 0,
    } as const
    const warming = { low: Number.NaN, high: Number.NaN, spread: Number.NaN }
    const opening = anomalyOpening(event, { ...PLACE, policy, judgement: warming, window: 0 })
    expect(opening.cause).toMatchObject({
      evidence: {
        by: 'range',
        line: 90,
        samples: 1,
        of: 1,
        low: 90,
        high: 90,
        spread: 0,
        range: { max: 90 },
        unit: '%',
      },
    })
    const stored = formatOpening(opening)
    expect(JSON.parse(stored)).toMatchObject({ cause: { evidence: { by: 'instant' } } })
    expect(parseAlert({ ...NEVER_WRITTEN, opening: stored })?.opening).toEqual(opening)
    expect(formatOpening(FIRING)).toBe(JSON.stringify(FIRING))
  })

  test.each([null, '', 'null', undefined])('is null with the opening %j', opening => {
    expect(parseAlert({ ...RECORD, opening })).toBeNull()
  })

  test.each([
    '{',
    '[]',
    JSON.stringify({ ...FIRING, id: 7 }),
    JSON.stringify({ ...FIRING, opened_at: null }),
    JSON.stringify({ ...FIRING, severity: 'severe' }),
    JSON.stringify({ ...FIRING, cause: { kind: 'anomaly', evidence: { value: 'high' } } }),
    JSON.stringify({ ...FIRING, cause: { kind: 'weather' } }),
  ])('cannot be read with the opening %j', opening => {
    expect(() => parseAlert({ ...RECORD, opening })).toThrow()
  })

  test.each(['{', '7', '{}', '{"who":7}', '{"told":"often"}'])('cannot be read with another part %j', text => {
    for (const part of ['end', 'acknowledged', 'snoozed', 'notification']) {
      expect(() => parseAlert({ ...NEVER_WRITTEN, opening: RECORD.opening, [part]: text })).toThrow()
    }
  })
})

test('an id holds the partition that stores the alert', () => {
  expect(partitionOfAlert(FIRING.id)).toBe(3)
  expect(partitionOfAlert(`fleet-${NOW}`)).toBe(0)
  for (const other of ['', '3', '3-', 'x-00', `${FIRING.id}0`, '3-G0', '99999-00']) {
    expect(partitionOfAlert(other)).toBeUndefined()
  }
})
