import { describe, expect, test } from 'vitest'
import type { AlertEvent } from './alert.ts'
import { ALERT_DEFAULTS, QUIET_ALERT_DEFAULTS } from './defaults.ts'
import { explainAlert } from './explain.ts'
import { acknowledge } from './notification.ts'
import {
  type AlertPlace,
  anomalyEnd,
  anomalyOpening,
  levelShift,
  silentOpening,
  stormEnd,
  stormOpening,
} from './openings.ts'
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

const KNOWN = { samples: 4000, low: 3, high: 30.5 }
const OF_THE_KEY = { similar: { opened: 0, useful: 0, noise: 0 } }
const SINCE = 'firing since 2026-11-24T12:00:00Z, opened'
const NONE = 'similar alerts on this key: none in 30 days'

interface Case {
  readonly event?: Partial<Extract<AlertEvent, { kind: 'opened' }>>
  readonly policy?: Partial<AlertPlace['policy']>
  readonly judgement?: Partial<typeof EXPECTED>
  readonly window?: number
}

/** Explains an alert that opened with changes of `OPENED`. */
function explain({ event, policy, judgement, window = 50 }: Case): string {
  const place = { ...PLACE, policy: { ...POLICY, ...policy }, judgement: { ...EXPECTED, ...judgement }, window }
  return explainAlert({ ...firing(anomalyOpening({ ...OPENED, ...event }, place)), ...OF_THE_KEY })
}

/** Every way in which an alert opens, as an operator reads it. */
const SENTENCES: Readonly<Record<string, readonly [Case, string]>> = {
  'the guard: one sample far above': [
    { event: { comparison: { known: KNOWN, widths: 2.2768 } }, policy: { guard: 'memory', unit: '%' } },
    `cpu of edge-17 rose to 93.1 %; the previous 50 samples were 15.9 +- 8.41 %; higher than anything in the last 4,000 samples (max 30.5 %); ${SINCE} by one sample, 2.3 times the known range away from every known value (z +9.19); ${NONE}.`,
  ],
  'the guard: one sample below, by less than the range': [
    {
      event: { value: -2, score: -4, comparison: { known: { ...KNOWN, samples: 312 }, widths: 0.1818 } },
      policy: { guard: 'memory' },
    },
    `cpu of edge-17 fell to -2; the previous 50 samples were 15.9 +- 8.41; lower than anything in the last 312 samples (min 3); ${SINCE} by one sample, 18 % of the known range away from every known value (z -4); ${NONE}.`,
  ],
  'the guard: one sample between two levels': [
    {
      event: { comparison: { known: { samples: 4000, low: 3, high: 201, below: 30.5, above: 199 }, widths: 0.31 } },
      policy: { guard: 'memory' },
    },
    `cpu of edge-17 rose to 93.1; the previous 50 samples were 15.9 +- 8.41; unlike anything in the last 4,000 samples (nearest 30.5 and 199); ${SINCE} by one sample, 31 % of the known range away from every known value (z +9.19); ${NONE}.`,
  ],
  'the guard: the first other value of a constant': [
    {
      event: {
        value: 5.1,
        score: 1e6,
        comparison: { known: { samples: 1204, low: 5, high: 5 }, widths: 1e6 },
      },
      policy: { guard: 'memory' },
      judgement: { low: 5, high: 5, spread: 0 },
    },
    `cpu of edge-17 rose to 5.1; the previous 50 samples were all 5; higher than anything in the last 1,204 samples (max 5); ${SINCE} by one sample that left a constant value (z off the scale); ${NONE}.`,
  ],
  'the guard: a confirmation': [
    { event: { by: 'samples', score: 4.3, comparison: { known: KNOWN } }, policy: { guard: 'memory', unit: '%' } },
    `cpu of edge-17 rose to 93.1 %; the previous 50 samples were 15.9 +- 8.41 %; higher than anything in the last 4,000 samples (max 30.5 %); ${SINCE} by confirmation: the second unusual sample within 6, after one that was new for this key (z +4.3); ${NONE}.`,
  ],
  'the guard: small deviations that add up': [
    {
      event: {
        value: 21,
        score: 1.4,
        by: 'sustained',
        comparison: { known: KNOWN, recent: { samples: 10, mean: 19.257 } },
      },
      policy: { guard: 'memory' },
    },
    `cpu of edge-17 rose to 21; the previous 50 samples were 15.9 +- 8.41; the last 10 averaged 19.3; within the range of the last 4,000 samples (3 to 30.5); ${SINCE} by small deviations to the same side that add up (z +1.4); ${NONE}.`,
  ],
  'the guard of a detector: novelty': [
    {
      event: { score: 0.42, threshold: 0.023, comparison: { known: { samples: 50, low: 4, high: 21.234 } } },
      policy: { detector: 'novelty', guard: 'detector' },
      judgement: { low: 30.49, high: 30.51, spread: 160 },
    },
    `cpu of edge-17 rose to 93.1; the nearest known value was 30.5; higher than anything in the last 50 samples (max 21.2); ${SINCE} by one sample that is new for this key (novelty score +0.42); ${NONE}.`,
  ],
  'the guard of a detector: habit, of a usual value': [
    {
      event: { value: 5, score: 2, threshold: 1, comparison: { known: { samples: 50, low: 4, high: 21 } } },
      policy: { detector: 'habit', guard: 'detector' },
      judgement: { low: 4.9, high: 5.1, spread: 3 },
    },
    `cpu of edge-17 varies unusually, last 5; its variation, trend or step is unlike anything known of this key; ${SINCE} by one sample that is new for this key (habit score +2); ${NONE}.`,
  ],
  'the guard of a detector: step': [
    {
      event: { score: 12.34, comparison: { known: { samples: 50, low: 4, high: 21 } } },
      policy: { detector: 'step', guard: 'detector' },
      judgement: { low: 18, high: 22, spread: 1 },
    },
    `cpu of edge-17 rose to 93.1; the sample before was 20 and steps of more than 2 are rare; higher than anything in the last 50 samples (max 21); ${SINCE} by one sample that is new for this key (step score +12.3); ${NONE}.`,
  ],
  'a rule: one sample beyond its line': [
    { event: { comparison: { known: { samples: 50, low: 4, high: 31 } } } },
    `cpu of edge-17 rose to 93.1; the previous 50 samples were 15.9 +- 8.41; higher than anything in the last 50 samples (max 31); ${SINCE} by one sample beyond the alert threshold 6 (z +9.19); ${NONE}.`,
  ],
  'a rule: two in a row': [
    { event: { value: -2, score: -4, by: 'samples', comparison: { known: { samples: 49, low: 4, high: 31 } } } },
    `cpu of edge-17 fell to -2; the previous 50 samples were 15.9 +- 8.41; lower than anything in the last 49 samples (min 4); ${SINCE} by confirmation: 2 in a row beyond the alert threshold 3 (z -4); ${NONE}.`,
  ],
  'a rule: three of five, inside of what the window has': [
    {
      event: { value: 29, score: 3.1, by: 'samples', comparison: { known: { samples: 46, low: 4, high: 31 } } },
      policy: { alert: { ...ALERT_DEFAULTS, samples: 3, of: 5 } },
    },
    `cpu of edge-17 rose to 29; the previous 50 samples were 15.9 +- 8.41; ${SINCE} by confirmation: 3 of 5 beyond the alert threshold 3 (z +3.1); ${NONE}.`,
  ],
  'a rule: small deviations that add up': [
    {
      event: {
        value: 31.5,
        score: 1.9,
        by: 'sustained',
        comparison: { known: { samples: 41, low: 4, high: 31 }, recent: { samples: 10, mean: 28 } },
      },
    },
    `cpu of edge-17 rose to 31.5; the previous 50 samples were 15.9 +- 8.41; the last 10 averaged 28; higher than anything in the last 41 samples (max 31); ${SINCE} by small deviations to the same side that add up (z +1.9); ${NONE}.`,
  ],
  'a rule with a budget': [
    {
      event: { threshold: 4.1327, comparison: { known: { samples: 50, low: 4, high: 31 } } },
      policy: { alert: QUIET_ALERT_DEFAULTS, budget: { text: '1 per key per day' } },
    },
    `cpu of edge-17 rose to 93.1; the previous 50 samples were 15.9 +- 8.41; higher than anything in the last 50 samples (max 31); ${SINCE} by one sample beyond 4.13, the threshold of the budget of 1 per key per day (z +9.19); ${NONE}.`,
  ],
  'a counter': [
    {
      event: { comparison: { known: { samples: 4000, low: 3, high: 30.5 }, widths: 2 } },
      policy: { isCounter: true, unit: 'requests', guard: 'memory' },
    },
    `cpu of edge-17 rose to 93.1 requests/s; the previous 50 samples were 15.9 +- 8.41 requests/s; higher than anything in the last 4,000 samples (max 30.5 requests/s); ${SINCE} by one sample, 2 times the known range away from every known value (z +9.19); ${NONE}.`,
  ],
  'the range of a rule': [
    {
      event: { by: 'range', score: 2, comparison: { known: { samples: 50, low: 4, high: 31 } } },
      policy: { rule: 'boiler', range: { min: 0, max: 90 }, unit: '°C' },
    },
    `cpu of edge-17 rose to 93.1 °C; the rule boiler allows at most 90 °C; higher than anything in the last 50 samples (max 31 °C); ${SINCE} by one sample outside the range of its rule; ${NONE}.`,
  ],
  'the range of a rule, of a warming key': [
    {
      event: { by: 'range', value: -2, score: -2, comparison: {} },
      policy: { rule: 'boiler', range: { min: 0, max: Number.POSITIVE_INFINITY }, isCounter: true },
      judgement: { low: Number.NaN, high: Number.NaN, spread: Number.NaN },
    },
    `cpu of edge-17 fell to -2 per second; the rule boiler allows at least 0 per second; ${SINCE} by one sample outside the range of its rule; ${NONE}.`,
  ],
  'the range of a rule, just outside': [
    {
      event: { by: 'range', value: 90.000001, score: 2, comparison: { known: { samples: 50, low: 4, high: 91 } } },
      policy: { rule: 'boiler', range: { min: 0, max: 90 } },
    },
    `cpu of edge-17 rose to 90.000001; the rule boiler allows at most 90; ${SINCE} by one sample outside the range of its rule; ${NONE}.`,
  ],
  'the detector range': [
    {
      event: { threshold: 0.05, comparison: { known: { samples: 50, low: 4, high: 7.9 } } },
      policy: { detector: 'range', alert: QUIET_ALERT_DEFAULTS },
      judgement: { low: 3.1234, high: 8, spread: 4.86 },
    },
    `cpu of edge-17 rose to 93.1; expected 3.12 to 8; higher than anything in the last 50 samples (max 7.9); ${SINCE} by one sample beyond the alert threshold 0.05 (range score +9.19); ${NONE}.`,
  ],
  'the detector ewma': [
    { policy: { detector: 'ewma', alert: QUIET_ALERT_DEFAULTS } },
    `cpu of edge-17 rose to 93.1; the moving average was 15.9 +- 8.41; ${SINCE} by one sample beyond the alert threshold 2 (ewma score +9.19); ${NONE}.`,
  ],
  'the detector mad': [
    { policy: { detector: 'mad', alert: QUIET_ALERT_DEFAULTS } },
    `cpu of edge-17 rose to 93.1; the median of the previous 50 samples was 15.9 +- 8.41; ${SINCE} by one sample beyond the alert threshold 2 (mad score +9.19); ${NONE}.`,
  ],
}

test.each(Object.entries(SENTENCES))('%s', (_, [given, expected]) => {
  expect(explain(given)).toBe(expected)
})

test('an alert of an earlier version, which did not record what was known, has a sentence too', () => {
  const evidence = {
    detector: 'zscore',
    value: 93.12,
    score: 9.193,
    by: 'instant',
    line: 6,
    samples: 2,
    of: 2,
  } as const
  const opening = { ...FIRING, cause: { kind: 'anomaly', evidence: { ...evidence, ...EXPECTED, window: 50 } } } as const
  expect(explainAlert(firing(opening))).toBe(
    `cpu of edge-17 rose to 93.1; the previous 50 samples were 15.9 +- 8.41; ${SINCE} by one sample beyond the alert threshold 6 (z +9.19).`,
  )
  const guarded = {
    ...opening,
    cause: { kind: 'anomaly', evidence: { ...opening.cause.evidence, news: true } },
  } as const
  expect(explainAlert(firing(guarded))).toContain('opened by one sample that is new for this key (z +9.19).')
})

test.each([
  [{ opened: 1, useful: 0, noise: 0 }, '1 in 30 days.'],
  [{ opened: 12, useful: 1, noise: 9 }, '12 in 30 days, 1 marked as useful, 9 marked as noise.'],
])('similar alerts are counted with what operators made of them: %o', (similar, expected) => {
  expect(explainAlert({ ...FIRING, similar })).toMatch(`; similar alerts on this key: ${expected}`)
})

test('feedback is named', () => {
  const marked = (who: string | null, why: string | null, useful = false): string =>
    explainAlert({ ...FIRING, feedback: { useful, who, why, at: NOW } })
  expect(marked('ada', 'the fan again')).toMatch(/ Marked as noise by ada: the fan again\.$/)
  expect(marked(null, null, true)).toMatch(/ Marked as useful\.$/)
})

test('a resolved alert names when it opened, its duration, its end and its peak', () => {
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
    /; opened at 2026-11-24T12:00:00Z by one sample beyond the alert threshold 6 \(z \+9\.19\)\. Resolved after 12\.5 min: values are back to normal\. Peak of 34 samples: 99\.4\.$/,
  )
  const reasons = { no_samples: 'no more samples arrived', level_shift: 'the new level was accepted' } as const
  for (const [resolve_reason, text] of Object.entries(reasons)) {
    const ended = { ...over, resolve_reason: resolve_reason as keyof typeof reasons }
    expect(explainAlert(ended)).toContain(`Resolved after 12.5 min: ${text}.`)
  }
})

test.each([
  [60_000, 180_000, 'after 3 min, 3 times its longest usual gap'],
  [300_000, 300_000, 'after 5 min, the limit of its rule'],
  [0, 10_000, 'after 10 s'],
])('a silence names the last sample and what was expected: every %i ms, after %i', (expectedMs, silentMs, after) => {
  const event = { kind: 'silent', time: NOW, lastAt: NOW - silentMs, lastCount: 9, expectedMs } as const
  const record = { ...firing(silentOpening(event, PLACE)), ...OF_THE_KEY }
  expect(explainAlert(record)).toMatch(
    new RegExp(
      `^No samples from cpu of edge-17 since 2026-11-24T11:5.* \\(expected every .*\\); alert raised at 2026-11-24T12:00:00Z, ${after}; ${NONE}\\.$`,
    ),
  )
})

test('a level shift explains why the band moved', () => {
  const policy = { ...POLICY, hygiene: { levelShiftAfter: 20 } }
  const before = { mean: 15.93, deviation: 8.41 }
  const { opening, end } = levelShift({ ...PLACE, policy }, { value: 30, count: 70, time: NOW, before })
  expect(explainAlert({ ...firing(opening, end), ...OF_THE_KEY })).toBe(
    `cpu of edge-17 has a new level: 20 consecutive samples were anomalies on the same side, the last one 30; the samples before were 15.9 +- 8.41; the new level is the baseline since 2026-11-24T12:00:00Z; ${NONE}.`,
  )
  const earlier = { ...opening, cause: { kind: 'level_shift', value: 30, samples: 20 } } as const
  expect(explainAlert(firing(earlier, end))).toContain('the last one 30; the new level is the baseline since')
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
    explain({ event: { value, score: value > high ? 9 : -9 }, judgement: { low, high, spread } })

  test.each([
    [1e15 + 1, 1e15, 'rose to 1e15 + 1; the previous 50 samples were all 1e15;'],
    [2e15, 1e15, 'rose to 2e15; the previous 50 samples were all 1e15;'],
    [1e300, 0, 'rose to 1e300; the previous 50 samples were all 0;'],
    [-1e300, 1e-9, 'fell to -1e300; the previous 50 samples were all 1e-9;'],
    [0, 5, 'fell to 0; the previous 50 samples were all 5;'],
    [1013.26, 1013.25, 'rose to 1013.26; the previous 50 samples were all 1013.25;'],
    [1013.96, 990.5, 'rose to 1014; the previous 50 samples were all 991;'],
    [20.000000001, 20, 'rose to 20 + 1e-9; the previous 50 samples were all 20;'],
    [0.30000000000000004, 0.3, 'rose to 0.3 + 5.55e-17; the previous 50 samples were all 0.3;'],
    [-12.3456, -0.00001, 'fell to -12.3; the previous 50 samples were all -1e-5;'],
    [12_345_678.9, 1234.5, 'rose to 1.23e7; the previous 50 samples were all 1235;'],
  ])('of %d after %d', (value, low, expected) => {
    expect(sentence(value, low)).toContain(expected)
  })

  test('of an extreme differ from the value beyond it', () => {
    const comparison = { known: { samples: 50, low: 4, high: 93.1188 } }
    expect(explain({ event: { comparison } })).toContain('rose to 93.12; the previous 50 samples were 15.93 +- 8.41; ')
    expect(explain({ event: { comparison } })).toContain('(max 93.119)')
  })

  test('of a range differ from the value beyond it', () => {
    expect(sentence(5.0004, 4.1, 5.0001, 1)).toContain('rose to 5.0004; expected 4.1 to 5.0001;')
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
