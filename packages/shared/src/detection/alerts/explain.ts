import { isFlat, SCORE_CAP } from '../../verdict/score.ts'
import type { AlertCause, AlertRecord, AnomalyEvidence } from './record.ts'
import { countOf, nameOf, numberOf, numbersOf, spanOf, timeOf } from './wording.ts'

const LISTED_KEYS = 5

/** Detectors that expect no range, but know values or steps. */
const NEAREST_KNOWN = ['novelty', 'habit', 'step']

/**
 * Returns the sentences that explain an alert to an operator: what is unusual, compared with what,
 * since when and how sure; then its state. They depend on the record alone. What an earlier version
 * did not record is left out.
 */
export function explainAlert(record: AlertRecord): string {
  return joined([describeCause(record), describeState(record), ...describeOperatorState(record)], ' ')
}

function joined(parts: readonly string[], separator: string): string {
  return parts.filter(part => part !== '').join(separator)
}

function describeCause(record: AlertRecord): string {
  const { cause } = record
  switch (cause.kind) {
    case 'anomaly':
      return `${joined([...describeAnomaly(record, cause.evidence), describeSimilar(record)], '; ')}.`
    case 'silent':
      return `${joined([...describeSilence(record, cause), describeSimilar(record)], '; ')}.`
    case 'level_shift':
      return `${joined([...describeShift(record, cause), describeSimilar(record)], '; ')}.`
    case 'storm':
      return describeStorm(cause)
  }
}

function describeSilence(
  { key, opened_at }: AlertRecord,
  { last_at, expected_ms }: Extract<AlertCause, { kind: 'silent' }>,
): string[] {
  const silence = opened_at - last_at
  // One that was learned is exceeded several times over; the limit of a rule is the limit.
  const isLearned = silence >= 2 * expected_ms
  const times = expected_ms > 0 ? `, ${numberOf(silence / expected_ms)} times its longest usual gap` : ''
  return [
    `No samples from ${nameOf(key)} since ${timeOf(last_at)} (expected every ${spanOf(expected_ms)})`,
    `alert raised at ${timeOf(opened_at)}, after ${spanOf(silence)}${isLearned ? times : ', the limit of its rule'}`,
  ]
}

function describeShift({ key, opened_at }: AlertRecord, cause: Extract<AlertCause, { kind: 'level_shift' }>): string[] {
  const { value, samples, mean, deviation } = cause
  const unit = unitOf(cause)
  const level = `${nameOf(key)} has a new level: ${samples} consecutive samples were anomalies on the same side`
  const known = mean !== undefined && deviation !== undefined
  return [
    `${level}, the last one ${numberOf(value)}${unit}`,
    known ? `the samples before ${spreadOf('were', numberOf(mean), mean, deviation)}${unit}` : '',
    `the new level is the baseline since ${timeOf(opened_at)}`,
  ]
}

function describeStorm({ keys, key_count, keys_total }: Extract<AlertCause, { kind: 'storm' }>): string {
  const listed = keys.slice(0, LISTED_KEYS)
  const others = key_count - listed.length
  // A state that was saved while no key was counted yet.
  const total = Math.max(keys_total, key_count)
  const names = `${listed.join(', ')}${others > 0 ? ` and ${others} more` : ''}`
  return `Alert storm: ${key_count} of ${countOf(total, 'key')} raised an alert within a short time: ${names}. A common cause is likely.`
}

function describeAnomaly(record: AlertRecord, evidence: AnomalyEvidence): string[] {
  const { value, low, high, known } = evidence
  const edge = known === undefined ? value : Math.max(known.low, Math.min(known.high, value))
  const isOutside = evidence.by === 'range'
  const showsRange = !isOutside && !NEAREST_KNOWN.includes(evidence.detector)
  const [shown, lowest = '', highest = '', limit = '', line = ''] = numbersOf([
    value,
    showsRange ? low : value,
    showsRange ? high : value,
    edge,
    isOutside ? evidence.line : edge,
  ])
  const opened = record.state === 'firing' ? `firing since ${timeOf(record.opened_at)}, opened` : 'opened'
  const at = record.state === 'firing' ? '' : ` at ${timeOf(record.opened_at)}`
  return [
    `${nameOf(record.key)} ${describeValue(evidence, shown)}`,
    isOutside ? describeLimit(record, evidence, line) : describeExpected(evidence, lowest, highest),
    describeRecent(evidence),
    describeKnown(evidence, limit),
    `${opened}${at} by ${describeTrigger(evidence)}`,
  ]
}

/** The limit says it all, whatever is usual for the key. */
function describeLimit({ rule }: AlertRecord, evidence: AnomalyEvidence, limit: string): string {
  const end = evidence.value > evidence.line ? 'most' : 'least'
  return `the rule ${rule ?? ''} allows at ${end} ${limit}${unitOf(evidence)}`
}

/** What a detector scores need not be the value: it may be how much the key varies. */
function describeValue(evidence: AnomalyEvidence, text: string): string {
  const { value, by, line } = evidence
  const { low, high } = by === 'range' ? { low: line, high: line } : evidence
  const shown = `${text}${unitOf(evidence)}`
  if (value > high) return `rose to ${shown}`
  return value < low ? `fell to ${shown}` : `varies unusually, last ${shown}`
}

/** What is written behind a number: ` ms`, of a rate ` bytes/s` or ` per second`. */
function unitOf({ unit, per_second }: { readonly unit?: string; readonly per_second?: true }): string {
  if (per_second === true) return unit === undefined ? ' per second' : ` ${unit}/s`
  return unit === undefined ? '' : ` ${unit}`
}

function describeExpected(evidence: AnomalyEvidence, lowest: string, highest: string): string {
  const { detector, value, low, high, spread, window } = evidence
  const unit = unitOf(evidence)
  const middle = numberOf(low / 2 + high / 2)
  switch (detector) {
    case 'step':
      return `the sample before was ${middle}${unit} and steps of more than ${numberOf((high - low) / 2)}${unit} are rare`
    case 'novelty':
      return `the nearest known value was ${middle}${unit}`
    case 'habit':
      if (value >= low && value <= high) return 'its variation, trend or step is unlike anything known of this key'
      return `the nearest known value was ${middle}${unit}`
  }
  if (low !== high) return `expected ${lowest} to ${highest}${unit}`
  const previous = `the previous ${countOf(window, 'sample')}`
  const subject = { zscore: previous, mad: `the median of ${previous}`, ewma: 'the moving average' }[detector]
  const verb = detector === 'mad' || detector === 'ewma' ? 'was' : 'were'
  return `${subject ?? 'the previous samples'} ${spreadOf(verb, lowest, low, spread)}${unit}`
}

function spreadOf(verb: 'was' | 'were', text: string, mean: number, spread: number): string {
  if (!isFlat(mean, spread)) return `${verb} ${text} +- ${numberOf(spread)}`
  return verb === 'was' ? `was ${text}` : `were all ${text}`
}

function describeRecent(evidence: AnomalyEvidence): string {
  const { recent } = evidence
  return recent === undefined ? '' : `the last ${recent.samples} averaged ${numberOf(recent.mean)}${unitOf(evidence)}`
}

/** Compares the value with what is known of the key; `limit` is the extreme that it exceeds. */
function describeKnown(evidence: AnomalyEvidence, limit: string): string {
  const { value, known, by, widths } = evidence
  if (known === undefined) return ''
  const { low, high, below = low, above = high } = known
  const unit = unitOf(evidence)
  const samples = `the last ${countOf(known.samples, 'sample')}`
  if (value > high) return `higher than anything in ${samples} (max ${limit}${unit})`
  if (value < low) return `lower than anything in ${samples} (min ${limit}${unit})`
  if (by === 'instant' && widths !== undefined) {
    return `unlike anything in ${samples} (nearest ${numberOf(below)} and ${numberOf(above)}${unit})`
  }
  return by === 'sustained' ? `within the range of ${samples} (${numberOf(low)} to ${numberOf(high)}${unit})` : ''
}

/** Says on what evidence an alert opened. */
function describeTrigger(evidence: AnomalyEvidence): string {
  // What is outside a range is certain, and its score may be made up.
  if (evidence.by === 'range') return 'one sample outside the range of its rule'
  return `${describeEvidence(evidence)} (${scoreOf(evidence)})`
}

function describeEvidence({ by, line, samples, of, news, widths, budget }: AnomalyEvidence): string {
  if (by === 'sustained') return 'small deviations to the same side that add up'
  if (news === true) {
    if (by === 'samples')
      return `confirmation: the second unusual sample within ${of}, after one that was new for this key`
    if (widths === undefined) return 'one sample that is new for this key'
    if (widths >= SCORE_CAP) return 'one sample that left a constant value'
    const distance = widths < 1 ? `${numberOf(100 * widths, 2)} % of` : `${numberOf(widths, 2)} times`
    return `one sample, ${distance} the known range away from every known value`
  }
  const threshold =
    budget === undefined
      ? `beyond the alert threshold ${numberOf(line)}`
      : `beyond ${numberOf(line)}, the threshold of the budget of ${budget}`
  if (by === 'instant' || samples === 1) return `one sample ${threshold}`
  return `confirmation: ${samples === of ? `${samples} in a row` : `${samples} of ${of}`} ${threshold}`
}

function scoreOf({ detector, score }: AnomalyEvidence): string {
  const unit = detector === 'zscore' ? 'z' : `${detector} score`
  if (Math.abs(score) >= SCORE_CAP) return `${unit} off the scale`
  return `${unit} ${score > 0 ? '+' : '-'}${numberOf(Math.abs(score))}`
}

/** How often the key has had such an alert, and what operators made of it. */
function describeSimilar({ similar }: AlertRecord): string {
  if (similar === undefined) return ''
  const { opened, useful, noise } = similar
  const marks = [useful > 0 ? `${useful} marked as useful` : '', noise > 0 ? `${noise} marked as noise` : '']
  const count = opened === 0 ? 'none' : String(opened)
  return `similar alerts on this key: ${joined([`${count} in 30 days`, ...marks], ', ')}`
}

function describeState(record: AlertRecord): string {
  const { cause, state, resolved_at, opened_at, resolve_reason, expired, deleted, peak } = record
  if (cause.kind === 'level_shift') return ''
  if (state === 'firing' || resolved_at === null) {
    return cause.kind === 'storm' ? `Firing since ${timeOf(opened_at)}.` : ''
  }
  const furthest = peak === null ? '' : ` Peak of ${countOf(peak.samples, 'sample')}: ${peakOf(peak.value, cause)}.`
  const reason = ENDS[resolve_reason ?? 'calm']
  const end = expired === true ? STORM_EXPIRED : deleted === true ? KEY_DELETED : reason
  return `Resolved after ${spanOf(Math.max(0, resolved_at - opened_at))}: ${end}.${furthest}`
}

function peakOf(value: number, cause: AlertCause): string {
  if (cause.kind !== 'anomaly') return numberOf(value)
  return `${numbersOf([value, cause.evidence.low, cause.evidence.high])[0]}${unitOf(cause.evidence)}`
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

function describeOperatorState({ acknowledged, snoozed, suppressed_by, feedback }: AlertRecord): string[] {
  const sentences = []
  if (acknowledged !== null) sentences.push(`Acknowledged by ${acknowledged.who}: ${acknowledged.why}.`)
  if (suppressed_by === 'snooze' && snoozed !== null) {
    sentences.push(`Snoozed by ${snoozed.who} until ${timeOf(snoozed.until)}: ${snoozed.why}.`)
  }
  if (suppressed_by === 'mute') sentences.push('Notification suppressed: the key is muted.')
  if (suppressed_by === 'storm') sentences.push('Notification suppressed: the alert is part of an alert storm.')
  if (feedback !== undefined) sentences.push(describeFeedback(feedback))
  return sentences
}

function describeFeedback({ useful, who, why }: NonNullable<AlertRecord['feedback']>): string {
  const by = who === null ? '' : ` by ${who}`
  return `Marked as ${useful ? 'useful' : 'noise'}${by}${why === null ? '' : `: ${why}`}.`
}
