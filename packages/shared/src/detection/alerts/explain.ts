import { SCORE_CAP } from '../detectors/detector.ts'
import type { AlertRecord, AnomalyEvidence } from './record.ts'

/** Says in plain words what an alert is about, from its record alone. */
export function explainAlert(record: AlertRecord): string {
  return [describeCause(record), describeEnd(record), describeCare(record)].filter(part => part !== '').join(' ')
}

function describeCause({ cause, key, opened_at }: AlertRecord): string {
  const name = nameOf(key)
  switch (cause.kind) {
    case 'anomaly':
      return describeAnomaly(name, cause.evidence)
    case 'silent':
      return `${name} has sent nothing since ${timeOf(cause.last_at)}; a sample was to be expected every ${spanOf(cause.expected_ms)}, and at ${timeOf(opened_at)} that was long over.`
    case 'level_shift':
      return `${name} has a new level: ${cause.samples} samples in a row were anomalies on the same side, the last of them ${numberOf(cause.value)}. From there on it is measured by what comes now.`
    case 'storm': {
      const others = cause.key_count - Math.min(cause.keys.length, 5)
      const listed = cause.keys.slice(0, 5).join(', ')
      return `${cause.key_count} of ${cause.keys_total} keys opened an alert within a short time: ${listed}${others > 0 ? ` and ${others} more` : ''}. That is more likely one cause than many.`
    }
  }
}

function describeAnomaly(name: string, evidence: AnomalyEvidence): string {
  const { value, score, detector } = evidence
  const verb = score > 0 ? 'rose' : 'fell'
  const unit = detector === 'zscore' ? 'z' : detector
  const sign = score > 0 ? '+' : '-'
  const told = Math.abs(score) >= SCORE_CAP ? `${unit} off the scale` : `${unit} ${sign}${numberOf(Math.abs(score))}`
  return `${name} ${verb} to ${numberOf(value)}; ${describeExpected(evidence)} (${told}, ${describeAlarm(evidence)}).`
}

function describeAlarm({ by, line, samples, of }: AnomalyEvidence): string {
  if (by === 'sustained') return 'alarm because smaller deviations before it, all to this side, add up'
  if (by === 'instant' || samples === 1) return `alarm at ${numberOf(line)}`
  return `alarm at ${samples === of ? `${samples} in a row` : `${samples} of ${of}`} beyond ${numberOf(line)}`
}

function describeExpected({ detector, low, high, spread, window }: AnomalyEvidence): string {
  const samples = `the ${window} samples before it`
  if (low !== high) return `it was expected from ${numberOf(low)} to ${numberOf(high)}`
  const isFlat = spread <= Math.abs(low) * 1e-15
  if (isFlat) return `${detector === 'zscore' ? samples : 'the samples before it'} were all ${numberOf(low)}`
  return `${detector === 'zscore' ? samples : 'the samples before it'} were ${numberOf(low)} +- ${numberOf(spread)}`
}

function describeEnd(record: AlertRecord): string {
  const { cause, state, resolved_at, opened_at, resolve_reason, peak } = record
  if (cause.kind === 'level_shift') return ''
  if (state === 'firing' || resolved_at === null) return `It fires since ${timeOf(opened_at)}.`
  const furthest = peak === null ? '' : ` The furthest of its ${peak.samples} samples was ${numberOf(peak.value)}.`
  return `It fired for ${spanOf(resolved_at - opened_at)}, until ${ENDS[resolve_reason ?? 'calm']}.${furthest}`
}

const ENDS: Readonly<Record<NonNullable<AlertRecord['resolve_reason']>, string>> = {
  calm: 'the samples were calm again',
  no_samples: 'no sample had come for a while',
  level_shift: 'the level was accepted as new',
  heard: 'the next sample came',
  few_keys: 'most of its keys were calm again',
}

function describeCare({ acknowledged, snoozed, suppressed_by }: AlertRecord): string {
  const parts = []
  if (acknowledged !== null) parts.push(`${acknowledged.who} takes care of it: ${acknowledged.why}.`)
  if (suppressed_by === 'snooze' && snoozed !== null) {
    parts.push(`${snoozed.who} put it off until ${timeOf(snoozed.until)}: ${snoozed.why}.`)
  }
  if (suppressed_by === 'mute') parts.push('Nobody was told: the key is muted.')
  if (suppressed_by === 'storm') parts.push('Nobody was told of it alone: it is part of a storm.')
  return parts.join(' ')
}

/** `edge-17/cpu` is the cpu of edge-17; other keys have no parts. */
function nameOf(key: string | null): string {
  if (key === null) return 'The fleet'
  const slash = key.lastIndexOf('/')
  return slash > 0 && slash < key.length - 1 ? `${key.slice(slash + 1)} of ${key.slice(0, slash)}` : key
}

/** Three digits that mean something, or all of an integer that has no more than seven. */
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
