import { expect, test } from 'vitest'
import { VERDICT_DEFAULTS } from '../../verdict/analysis.ts'
import { createPolicy } from '../rules/policy.ts'
import type { AlertEvent } from './alert.ts'
import { explainAlert } from './explain.ts'
import { acknowledge } from './notice.ts'
import { anomalyEnd, anomalyOpening, levelShift, silentOpening, stormOpening } from './openings.ts'
import { type AlertEnd, type AlertOpening, type AlertRecord, assembleAlert } from './record.ts'

const NOW = Date.UTC(2026, 10, 24, 12)
const PLACE = { partition: 3, key: 'edge-17/cpu', policy: createPolicy({}, VERDICT_DEFAULTS) }
const OPENED = {
  ...{ kind: 'opened', time: NOW, count: 51, value: 93.12, score: 9.193, threshold: 2 },
  ...{ by: 'instant', openedBefore: 0 },
} as const satisfies AlertEvent
const EXPECTED = { low: 15.93, high: 15.93, spread: 8.41 }
const FIRING = firing(anomalyOpening(OPENED, { ...PLACE, judgement: EXPECTED, window: 50 }))

function firing(opening: AlertOpening, end: AlertEnd | null = null): AlertRecord {
  return assembleAlert({ opening, end, operator: null, notification: null })
}

const explain = (event: Partial<Extract<AlertEvent, { kind: 'opened' }>>, judgement = EXPECTED): string =>
  explainAlert(firing(anomalyOpening({ ...OPENED, ...event }, { ...PLACE, judgement, window: 50 })))

test('an anomaly says what came, what was expected and what was enough', () => {
  expect(explainAlert(FIRING)).toBe(
    'cpu of edge-17 rose to 93.1; the 50 samples before it were 15.9 +- 8.41 (z +9.19, alarm at 6). It fires since 2026-11-24T12:00:00Z.',
  )
  expect(explain({ score: -4, value: -2, by: 'samples' })).toContain(
    'cpu of edge-17 fell to -2; the 50 samples before it were 15.9 +- 8.41 (z -4, alarm at 2 in a row beyond 3).',
  )
  expect(explain({ score: 2.4, by: 'sustained' })).toContain(
    '(z +2.4, alarm because smaller deviations before it, all to this side, add up).',
  )
})

test('what never varied is said to be so', () => {
  expect(explain({ score: 1e6, value: 5.1 }, { low: 5, high: 5, spread: 0 })).toContain(
    'cpu of edge-17 rose to 5.1; the 50 samples before it were all 5 (z off the scale, alarm at 6).',
  )
})

test('a detector that knows a range says so', () => {
  const policy = createPolicy({ detector: 'range' }, VERDICT_DEFAULTS)
  const judgement = { low: 3.1234, high: 8, spread: 4.86 }
  const event = { ...OPENED, threshold: policy.threshold }
  const record = firing(anomalyOpening(event, { ...PLACE, policy, judgement, window: 50 }))
  expect(explainAlert(record)).toContain('rose to 93.1; it was expected from 3.12 to 8 (range +9.19, alarm at ')
})

test('what is over says how long it took, how it ended and how far it went', () => {
  const end = anomalyEnd({
    ...{ kind: 'resolved', time: NOW + 750_000, reason: 'calm', openedAt: NOW, openedCount: 51 },
    ...{ peak: 11, peakValue: 99.44, samples: 34 },
  })
  const over = { ...FIRING, state: 'resolved' as const, ...end }
  expect(explainAlert(over)).toMatch(
    /\(z \+9\.19, alarm at 6\)\. It fired for 12\.5 min, until the samples were calm again\. The furthest of its 34 samples was 99\.4\.$/,
  )
})

test('a silence says since when', () => {
  const event = { kind: 'silent', time: NOW, lastAt: NOW - 180_000, lastCount: 9, expectedMs: 60_000 } as const
  expect(explainAlert(firing(silentOpening(event, PLACE)))).toBe(
    'cpu of edge-17 has sent nothing since 2026-11-24T11:57:00Z; a sample was to be expected every 60 s, and at 2026-11-24T12:00:00Z that was long over. It fires since 2026-11-24T12:00:00Z.',
  )
})

test('a new level says why the band has moved', () => {
  const policy = createPolicy({ hygiene: { isHeld: true, levelShiftAfter: 20 } }, VERDICT_DEFAULTS)
  const { opening, end } = levelShift({ ...PLACE, policy }, { value: 30, count: 70, time: NOW })
  expect(explainAlert(firing(opening, end))).toBe(
    'cpu of edge-17 has a new level: 20 samples in a row were anomalies on the same side, the last of them 30. From there on it is measured by what comes now.',
  )
})

test('a storm names some of its keys', () => {
  const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  const event = { kind: 'storm', time: NOW, openedAt: NOW, keys, keyCount: 9, keysTotal: 30 } as const
  expect(explainAlert(firing(stormOpening(event)))).toContain(
    '9 of 30 keys opened an alert within a short time: a, b, c, d, e and 4 more.',
  )
})

test('who takes care of it is said, and that nobody was told', () => {
  const outcome = acknowledge({ ...FIRING, suppressed_by: 'mute' }, { who: 'ada', why: 'new racks', at: NOW })
  if (outcome.kind !== 'done') throw new Error(outcome.reason)
  expect(explainAlert(outcome.record)).toMatch(
    / ada takes care of it: new racks\. Nobody was told: the key is muted\.$/,
  )
})

test('a key without parts is called by its name', () => {
  const record = { ...FIRING, key: '/rps' }
  expect(explainAlert(record)).toMatch(/^\/rps rose/)
})
