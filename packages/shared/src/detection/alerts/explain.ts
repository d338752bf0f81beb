import { isFlat, SCORE_CAP } from '../../verdict/score.ts'
import type { AlertCause, AlertRecord, AnomalyEvidence } from './record.ts'

const LISTED_KEYS = 5

/** Returns the sentences that explain an alert to an operator. They depend on the record alone. */
export function explainAlert(record: AlertRecord): string {
  const sentences = [describeCause(record), describeState(record), ...describeOperatorState(record)]
  return sentences.filter(sentence => sentence !== '').join(' ')
}

function describeCause({ cause, key, rule, opened_at }: AlertRecord): string {
  const name = nameOf(key)
  switch (cause.kind) {
    case 'anomaly':
      return cause.evidence.by === 'range'
        ? describeOutside(name, rule, cause.evidence)
        : describeAnomaly(name, cause.evidence)
    case 'silent': {
      const expected = `expected every ${spanOf(cause.expected_ms)}`
      return `No samples from ${name} since ${timeOf(cause.last_at)} (${expected}); alert raised at ${timeOf(opened_at)}.`
    }
    case 'level_shift':
      return `${name} has a new level: ${cause.samples} consecutive samples were anomalies on the same side, the last one ${measured(numberOf(cause.value), cause)}. The new level is now the baseline.`
    case 'storm':
      return describeStorm(cause)
  }
}

function describeStorm({ keys, key_count, keys_total }: Extract<AlertCause, { kind: 'storm' }>): string {
  const listed = keys.slice(0, LISTED_KEYS)
  const others = key_count - listed.length
  // A state that was saved while no key was counted yet.
  const total = Math.max(keys_total, key_count)
  const names = `${listed.join(', ')}${others > 0 ? ` and ${others} more` : ''}`
  return `Alert storm: ${key_count} of ${countOf(total, 'key')} raised an alert within a short time: ${names}. A common cause is likely.`
}

function describeAnomaly(name: string, evidence: AnomalyEvidence): string {
  const { value, score, detector, low, high } = evidence
  const texts = numbersOf([value, low, high])
  const unit = detector === 'zscore' ? 'z' : detector
  const sign = score > 0 ? '+' : '-'
  const scored = Math.abs(score) >= SCORE_CAP ? `${unit} off the scale` : `${unit} ${sign}${numberOf(Math.abs(score))}`
  const what = describeValue(evidence, texts[0])
  return `${name} ${what}; ${describeExpected(evidence, texts)} (${scored}, ${describeTrigger(evidence)}).`
}

/** The limit says it all, whatever is usual for the key. */
function describeOutside(name: string, rule: string | null, evidence: AnomalyEvidence): string {
  const { value, line } = evidence
  const [shown, limit] = numbersOf([value, line, line])
  const [verb, end] = value > line ? ['rose', 'most'] : ['fell', 'least']
  const limited = `the rule ${rule ?? ''} allows at ${end} ${measured(limit, evidence)}`
  return `${name} ${verb} to ${measured(shown, evidence)}; ${limited}.`
}

/** Returns a number with its unit: `812 ms`; of a rate `812 bytes/s`, or `812 per second`. */
function measured(number: string, { unit, per_second }: Pick<AnomalyEvidence, 'unit' | 'per_second'>): string {
  if (per_second === true) return unit === undefined ? `${number} per second` : `${number} ${unit}/s`
  return unit === undefined ? number : `${number} ${unit}`
}

/** What a detector scores need not be the value: it may be how much the key varies. */
function describeValue(evidence: AnomalyEvidence, text: string): string {
  const { value, low, high } = evidence
  const shown = measured(text, evidence)
  if (value > high) return `rose to ${shown}`
  return value < low ? `fell to ${shown}` : `varies unusually, last ${shown}`
}

function describeTrigger({ by, line, samples, of, news }: AnomalyEvidence): string {
  if (by === 'sustained') return 'raised by the sum of smaller deviations to the same side'
  if (news === true) return by === 'instant' ? 'new for this key' : 'follows a value that was new for this key'
  const threshold = `alert threshold ${numberOf(line)}`
  if (by === 'instant' || samples === 1) return threshold
  return `${samples === of ? `${samples} in a row` : `${samples} of ${of}`} beyond the ${threshold}`
}

function describeExpected(evidence: AnomalyEvidence, [, lowest, highest]: readonly [string, string, string]): string {
  const { detector, low, high, spread, window, unit } = evidence
  const shown = (text: string): string => (unit === undefined ? text : measured(text, evidence))
  if (low !== high) return `expected ${shown(`${lowest} to ${highest}`)}`
  const before = detector === 'zscore' ? `the previous ${countOf(window, 'sample')}` : 'the previous samples'
  return isFlat(low, spread)
    ? `${before} were all ${shown(lowest)}`
    : `${before} were ${shown(`${lowest} +- ${numberOf(spread)}`)}`
}

function describeState(record: AlertRecord): string {
  const { cause, state, resolved_at, opened_at, resolve_reason, expired, deleted, peak } = record
  if (cause.kind === 'level_shift') return ''
  if (state === 'firing' || resolved_at === null) {
    return cause.kind === 'silent' ? '' : `Firing since ${timeOf(opened_at)}.`
  }
  const furthest = peak === null ? '' : ` Peak of ${countOf(peak.samples, 'sample')}: ${peakOf(peak.value, cause)}.`
  const reason = ENDS[resolve_reason ?? 'calm']
  const end = expired === true ? STORM_EXPIRED : deleted === true ? KEY_DELETED : reason
  return `Resolved after ${spanOf(Math.max(0, resolved_at - opened_at))}: ${end}.${furthest}`
}

function peakOf(value: number, cause: AlertCause): string {
  if (cause.kind !== 'anomaly') return numberOf(value)
  const { evidence } = cause
  return measured(numbersOf([value, evidence.low, evidence.high])[0], evidence)
}

const ENDS: Readonly<Record<NonNullable<AlertRecord['resolve_reason']>, string>> = {
  calm: 'values are back to normal',
  no_samples: 'no more samples arrived',
  level_shift: 'the new level was accepted',
  heard: 'samples arrive again',
  few_keys: 'most of its alerts were resolved',
}

const STORM_EXPIRED = 'it lasted too long for one event; keys that still alert are notified one by one'

const KEY_DELETED = 'its key was deleted'

function describeOperatorState({ acknowledged, snoozed, suppressed_by }: AlertRecord): string[] {
  const sentences = []
  if (acknowledged !== null) sentences.push(`Acknowledged by ${acknowledged.who}: ${acknowledged.why}.`)
  if (suppressed_by === 'snooze' && snoozed !== null) {
    sentences.push(`Snoozed by ${snoozed.who} until ${timeOf(snoozed.until)}: ${snoozed.why}.`)
  }
  if (suppressed_by === 'mute') sentences.push('Notification suppressed: the key is muted.')
  if (suppressed_by === 'storm') sentences.push('Notification suppressed: the alert is part of an alert storm.')
  return sentences
}

/** `edge-17/cpu` reads as "cpu of edge-17"; a key without a slash stays as it is. */
function nameOf(key: string | null): string {
  if (key === null) return 'The fleet'
  const slash = key.lastIndexOf('/')
  return slash > 0 && slash < key.length - 1 ? `${key.slice(slash + 1)} of ${key.slice(0, slash)}` : key
}

/** Numbers with as many digits as distinguish them, at least three. */
function numbersOf(values: readonly [number, number, number]): [string, string, string] {
  const [value, low, high] = values
  const differ = [value === low, value === high, low === high].filter(isSame => !isSame).length
  for (let digits = DIGITS_MIN; digits < DIGITS_MAX; digits++) {
    const [a, b, c] = [numberOf(value, digits), numberOf(low, digits), numberOf(high, digits)]
    if ([a === b, a === c, b === c].filter(isSame => !isSame).length === differ) return [a, b, c]
  }
  return [String(value), String(low), String(high)]
}

const PLAIN_MIN = 1e-4
const PLAIN_MAX = 1e7
const DIGITS_MIN = 3
const DIGITS_MAX = 17

/**
 * An integer of up to seven digits as it is, other numbers with so many significant digits, but no
 * fewer than before the decimal point. Few people count the zeros of larger and smaller ones.
 */
function numberOf(value: number, digits = DIGITS_MIN): string {
  const size = Math.abs(value)
  if (Number.isInteger(value) && size < PLAIN_MAX) return String(value)
  const isPlain = size >= PLAIN_MIN && size < Math.max(PLAIN_MAX, 10 ** digits)
  const whole = isPlain ? String(Math.trunc(size)).length : 1
  const rounded = Number(value.toPrecision(Math.max(digits, whole)))
  return isPlain ? String(rounded) : rounded.toExponential().replace('e+', 'e')
}

function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** ISO 8601 in seconds; a number that is no time as it is. */
function timeOf(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? `${ms} ms` : `${date.toISOString().slice(0, -5)}Z`
}

const SPANS: readonly (readonly [number, string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
]

function spanOf(ms: number): string {
  const [unit, name] = SPANS.find(([unit]) => ms >= 2 * unit) ?? [1, 'ms']
  return `${numberOf(ms / unit)} ${name}`
}
