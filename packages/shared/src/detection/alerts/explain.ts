import { SCORE_CAP } from '../../verdict/score.ts'
import type { AlertCause, AlertRecord, AnomalyEvidence } from './record.ts'

const LISTED_KEYS = 5

/** Returns the sentences that explain an alert to an operator. They depend on the record alone. */
export function explainAlert(record: AlertRecord): string {
  const sentences = [describeCause(record), describeState(record), ...describeOperatorState(record)]
  return sentences.filter(sentence => sentence !== '').join(' ')
}

function describeCause({ cause, key, opened_at }: AlertRecord): string {
  const name = nameOf(key)
  switch (cause.kind) {
    case 'anomaly':
      return describeAnomaly(name, cause.evidence)
    case 'silent': {
      const expected = `expected every ${spanOf(cause.expected_ms)}`
      return `No samples from ${name} since ${timeOf(cause.last_at)} (${expected}); alert raised at ${timeOf(opened_at)}.`
    }
    case 'level_shift':
      return `${name} has a new level: ${cause.samples} consecutive samples were anomalies on the same side, the last one ${numberOf(cause.value)}. The new level is now the baseline.`
    case 'storm':
      return describeStorm(cause)
  }
}

function describeStorm({ keys, key_count, keys_total }: Extract<AlertCause, { kind: 'storm' }>): string {
  const listed = keys.slice(0, LISTED_KEYS)
  const others = key_count - listed.length
  const names = `${listed.join(', ')}${others > 0 ? ` and ${others} more` : ''}`
  return `Alert storm: ${key_count} of ${keys_total} keys raised an alert within a short time: ${names}. A common cause is likely.`
}

function describeAnomaly(name: string, evidence: AnomalyEvidence): string {
  const { value, score, detector } = evidence
  const verb = score > 0 ? 'rose' : 'fell'
  const unit = detector === 'zscore' ? 'z' : detector
  const sign = score > 0 ? '+' : '-'
  const scored = Math.abs(score) >= SCORE_CAP ? `${unit} off the scale` : `${unit} ${sign}${numberOf(Math.abs(score))}`
  return `${name} ${verb} to ${numberOf(value)}; ${describeExpected(evidence)} (${scored}, ${describeTrigger(evidence)}).`
}

function describeTrigger({ by, line, samples, of }: AnomalyEvidence): string {
  if (by === 'sustained') return 'raised by the sum of smaller deviations to the same side'
  const threshold = `alert threshold ${numberOf(line)}`
  if (by === 'instant' || samples === 1) return threshold
  return `${samples === of ? `${samples} in a row` : `${samples} of ${of}`} beyond the ${threshold}`
}

function describeExpected({ detector, low, high, spread, window }: AnomalyEvidence): string {
  if (low !== high) return `expected ${numberOf(low)} to ${numberOf(high)}`
  const before = detector === 'zscore' ? `the previous ${window} samples` : 'the previous samples'
  const isFlat = spread <= Math.abs(low) * 1e-15
  return isFlat ? `${before} were all ${numberOf(low)}` : `${before} were ${numberOf(low)} +- ${numberOf(spread)}`
}

function describeState(record: AlertRecord): string {
  const { cause, state, resolved_at, opened_at, resolve_reason, peak } = record
  if (cause.kind === 'level_shift') return ''
  if (state === 'firing' || resolved_at === null) {
    return cause.kind === 'silent' ? '' : `Firing since ${timeOf(opened_at)}.`
  }
  const furthest = peak === null ? '' : ` Peak of ${peak.samples} samples: ${numberOf(peak.value)}.`
  return `Resolved after ${spanOf(Math.max(0, resolved_at - opened_at))}: ${ENDS[resolve_reason ?? 'calm']}.${furthest}`
}

const ENDS: Readonly<Record<NonNullable<AlertRecord['resolve_reason']>, string>> = {
  calm: 'values are back to normal',
  no_samples: 'no more samples arrived',
  level_shift: 'the new level was accepted',
  heard: 'samples arrive again',
  few_keys: 'most of its alerts were resolved',
}

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

/** Three significant digits, or all digits of an integer of up to seven. */
function numberOf(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value)
  return String(Number(value.toPrecision(3)))
}

function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
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
