import { describe, expect, test } from 'vitest'
import { RuleError, readNewRule, readRule } from './rule.ts'

function faultsOf(read: () => unknown): readonly string[] {
  try {
    read()
  } catch (error) {
    if (error instanceof RuleError) return error.faults
    throw error
  }
  return []
}

describe('a rule', () => {
  test('may have all members', () => {
    const rule = readRule({
      id: 'cpu',
      pattern: '{edge,core}-*/cpu',
      detector: 'zscore',
      threshold: 3,
      window: 100,
      samples_min: 40,
      direction: 'up',
      deviation_min: 5,
      deviation_min_relative: 0.1,
      influence: 'held',
      level_shift_after: 20,
      alert: {
        open: 1.5,
        samples: 3,
        of: 5,
        sides: 'any',
        instant: 4,
        sustained: 'off',
        close: 0.5,
        close_after: 10,
        hold: '30s',
        resolve_after: '1.5h',
        severity: 'critical',
      },
      silent: '5m',
      late: 'refuse',
      duplicates: 'drop',
      min: -40,
      max: 125.5,
      unit: '°C',
      ignore: [-127, 85],
      mute: { until: '2026-12-01T06:00:00+01:00', who: 'ada', why: 'moving house' },
      shadow: false,
    })
    expect(rule).toMatchObject({
      alert: { hold: 30_000, resolve_after: 5_400_000, sustained: Number.POSITIVE_INFINITY },
      silent: 300_000,
      mute: { until: Date.UTC(2026, 11, 1, 5) },
    })
  })

  test('needs only an id and a pattern', () => {
    expect(readRule({ id: 'all', pattern: '*' })).toEqual({ id: 'all', pattern: '*' })
  })

  test.each([
    [{ id: 'a b' }, 'id: must be 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit'],
    [{ pattern: '[' }, 'pattern: has a [ without a ]; write \\[ for the character'],
    [{ pattern: 7 }, 'pattern: must be a text'],
    [{ detector: 'magic' }, /^detector: must be one of zscore, /],
    [{ detector: 7 }, /^detector: must be one of zscore, /],
    [{ threshold: '2' }, 'threshold: must be a number from 0.001 to 10000'],
    [{ threshold: Number.NaN }, 'threshold: must be a number from 0.001 to 10000'],
    [
      { budget: 'little' },
      'budget: must be like "1 per key per day" (minute, hour, day, week) or "0.1 %" (more than 0, at most 10)',
    ],
    [{ budget: '1 %', threshold: 2 }, 'budget: cannot be combined with threshold: give one of them'],
    [
      { budget: '1 %', detector: 'novelty' },
      'budget: needs the detector zscore: the false-alarm rate of novelty is not known in advance',
    ],
    [{ window: 9 }, 'window: must be an integer from 10 to 500'],
    [{ window: 10.5 }, 'window: must be an integer from 10 to 500'],
    [{ window: 20, samples_min: 21 }, 'samples_min: must be at most window, which is 20'],
    [{ samples_min: 51 }, 'samples_min: must be at most window, which is 50'],
    [{ direction: 'left' }, 'direction: must be one of up, down, both'],
    [{ deviation_min: -1 }, /^deviation_min: must be a number from 0 to /],
    [{ ignore: [] }, /^ignore: must be a list of 1 to 100 numbers/],
    [{ ignore: 85 }, /^ignore: must be a list of 1 to 100 numbers/],
    [{ ignore: ['85'] }, /^ignore(\[0\]|\.0): must be a list of 1 to 100 numbers/],
    [{ min: 5, max: 5 }, 'min: is 5, but must be less than max, which is 5'],
    [{ min: 5, max: -5 }, 'min: is 5, but must be less than max, which is -5'],
    [{ min: '5' }, 'min: must be a finite number'],
    [{ max: Number.POSITIVE_INFINITY }, 'max: must be a finite number'],
    [{ max: null }, 'max: must be a finite number'],
    [{ counter: true, max: -1 }, 'max: is -1, but the rate of a counter is never negative'],
    [{ unit: '' }, /^unit: must be a text of 1 to 16 characters/],
    [{ unit: 'x'.repeat(17) }, /^unit: must be a text of 1 to 16 characters/],
    [{ unit: 'a\nb' }, /^unit: must be a text of 1 to 16 characters/],
    [{ unit: ' ms' }, /^unit: must be a text of 1 to 16 characters/],
    [{ unit: '\ud800' }, /^unit: must be a text of 1 to 16 characters/],
    [{ unit: 7 }, /^unit: must be a text of 1 to 16 characters/],
    [{ units: 'ms' }, 'units: unknown member; did you mean unit?'],
    [{ counter: 'yes' }, /^counter: must be true or false/],
    [{ counter: true, influence: 'held', level_shift_after: 9 }, /^influence: cannot be held with counter/],
    [
      { influence: 'held' },
      'level_shift_after: is required with the influence held: otherwise a key whose level changes stays anomalous forever',
    ],
    [{ alert: 'loud' }, 'alert: must be a JSON object'],
    [{ alert: { severity: 'loud' } }, 'alert.severity: must be one of info, warning, critical'],
    [
      { alert: { hold: '5 minutes' } },
      'alert.hold: must be a duration like "30s" or "90m": one number and unit (ms, s, m, h, d), at most 30d',
    ],
    [{ alert: { samples: 3, of: 2 } }, 'alert.of: is 2, but must be at least samples, which is 3'],
    [{ alert: { close: 2 } }, 'alert.close: is 2, but must be at most open, which is 1.5'],
    [{ alert: { open: 4 } }, 'alert.instant: is 3, but must be at least open, which is 4'],
    [{ alert: { opens: 4 } }, 'alert.opens: unknown member; did you mean open?'],
    [
      { silent: 'maybe' },
      'silent: must be "learned", or a duration like "30s" or "90m": one number and unit (ms, s, m, h, d), at most 30d',
    ],
    [
      { silent: '31d' },
      'silent: must be "learned", or a duration like "30s" or "90m": one number and unit (ms, s, m, h, d), at most 30d',
    ],
    [{ late: 'never' }, 'late: must be one of mark, refuse'],
    [
      { mute: { until: 'noon', who: 'ada', why: 'x' } },
      'mute.until: must be a time with its zone, like 2026-01-31T18:00:00Z',
    ],
    [{ mute: { until: '2026-12-01T06:00:00Z', who: '', why: 'x' } }, 'mute.who: must not be empty'],
    [{ shadow: 'yes' }, 'shadow: must be true or false'],
    [{ tresholds: 2 }, 'tresholds: unknown member; did you mean threshold?'],
  ])('%j is rejected with the name of the field', (wrong, fault) => {
    const [found, ...others] = faultsOf(() => readRule({ id: 'r', pattern: '*', ...wrong }))
    const name = 'id' in wrong ? 'rule "a b": ' : 'rule "r": '
    expect(found?.slice(0, name.length)).toBe(name)
    if (typeof fault === 'string') expect(found?.slice(name.length)).toBe(fault)
    else expect(found?.slice(name.length)).toMatch(fault)
    expect(others).toEqual([])
  })

  test('is rejected with all its faults at once', () => {
    expect(faultsOf(() => readRule({ id: 'r', window: 5, late: 'x' }))).toHaveLength(3)
    expect(() => readRule(null)).toThrow('invalid rules:\n  rule: must be a JSON object')
    expect(faultsOf(() => readRule({ pattern: '*' }))).toEqual(['rule: id: must be a text'])
  })
})

describe('a rule that is put', () => {
  test.each<[object, string]>([
    [{ treshold: 3 }, 'treshold: unknown member; did you mean threshold?'],
    [{ Threshold: 3 }, 'Threshold: unknown member; did you mean threshold?'],
    [{ windows: 50 }, 'windows: unknown member; did you mean window?'],
    [{ samplesMin: 5 }, 'samplesMin: unknown member; did you mean samples_min?'],
    [{ alert: { opens: 1 } }, 'alert.opens: unknown member; did you mean open?'],
    [{ mute: { untill: 1 } }, 'mute.untill: unknown member; did you mean until?'],
    [{ quux: 1 }, 'quux: unknown member'],
    [{ silent: '0s' }, 'silent: must be at least "1s"'],
    [{ silent: '1h30m' }, 'silent: must be "learned", or a duration like "30s" or "90m": one number and unit'],
    [{ silent: '-5s' }, 'one number and unit (ms, s, m, h, d), at most 30d'],
    [{ pattern: '^edge-.*$' }, 'pattern: looks like a regular expression'],
    [{ threshold: Number.POSITIVE_INFINITY }, 'threshold: must be a number from 0.001 to 10000'],
    [{ threshold: 'NaN' }, 'threshold: must be a number from 0.001 to 10000'],
  ])('%o is refused with what is meant', (members, message) => {
    expect(() => readNewRule({ id: 'r', pattern: 'a', ...members })).toThrow(message)
  })

  test('may be stricter than a stored one, which stays in force', () => {
    for (const members of [{ silent: '0s' }, { pattern: '^edge-.*$' }]) {
      expect(readRule({ id: 'r', pattern: 'a', ...members })).toMatchObject({ id: 'r' })
    }
    expect(readNewRule({ id: 'r', pattern: '\\^a$' }).pattern).toBe('\\^a$')
  })
})
