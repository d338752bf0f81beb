import { describe, expect, test } from 'vitest'
import { VERDICT_DEFAULTS } from '../analysis.ts'
import type { AlertEvent } from './alerts.ts'
import {
  alertId,
  heardRecord,
  levelShiftRecord,
  openedRecord,
  resolvedId,
  resolvedRecord,
  silentId,
  silentRecord,
  stormRecord,
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
