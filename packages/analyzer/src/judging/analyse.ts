import { alertPhase, endAlert } from '@tidemark/shared/detection/alerts/alert'
import { endSilence, isSilent } from '@tidemark/shared/detection/alerts/silence'
import { Judge, type TimerEvents } from '@tidemark/shared/detection/judge'
import { ALERT, HYGIENE, type KeyRow, SILENCE, shapeOf, TIMER } from '@tidemark/shared/detection/key-row'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { DEFAULT_POLICY, NO_POLICY, type RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { isOfCounter, toUnixMs } from '@tidemark/shared/sample/arrival'
import { SAMPLE_STRIDE } from '@tidemark/shared/sample/entry'
import { arrivalMs } from '@tidemark/shared/sample/receipt'
import { anomalyScore } from '@tidemark/shared/verdict/anomaly-score'
import { encodeAnalysis } from '@tidemark/shared/verdict/encoding'
import { sideNamed } from '@tidemark/shared/verdict/kept-verdicts'
import type { LateJson } from '@tidemark/shared/writing/json-writer'
import type { Aggregates } from './aggregates.ts'
import { Effects } from './effects.ts'
import { type AnalyseOptions, EntryAnalysis } from './entry-analysis.ts'
import { KEY_BYTES, rowBytes, type Slot } from './row-memory.ts'
import type { ReadableEntry, Run } from './run.ts'
import { NO_SLOT, SHADOW, type Windows } from './windows.ts'

/**
 * Finds the slots of a run's keys and applies the rules to them; returns the keys not in memory.
 * Load those and repeat until none is missing: the shadow rule of a missing key is unknown.
 * Undefined if it became late first: then repeat it after other work. It goes on where it stopped.
 */
export function missingKeys(
  run: Run,
  windows: Windows,
  rules: RuleSet,
  isLate: () => boolean = () => false,
): string[] | undefined {
  const missing = new Set<string>()
  const { isCostly } = rules
  for (const entry of run.readable) {
    const { samples, slots } = entry
    for (let index = 0; index < slots.length; index++) {
      let slot = slots[index] as Slot
      if (slot === NO_SLOT) {
        const key = samples[index * SAMPLE_STRIDE] as string
        const found = windows.use(key)
        if (found === undefined) {
          missing.add(key)
          continue
        }
        slots[index] = slot = found
      }
      if (isCostly && !windows.hasPolicy(slot, rules) && isLate()) return undefined
      // What this sample says of the key counts only once those before it are scored.
      windows.lastPolicyOf(slot, rules)
      if (rules.hasShadows) findShadow(entry, index, windows, missing)
    }
  }
  return [...missing]
}

function findShadow(entry: ReadableEntry, index: number, windows: Windows, missing: Set<string>): void {
  const number = windows.shadowOf(entry.slots[index] as Slot)
  if (number === NO_POLICY) return
  const key = SHADOW + (entry.samples[index * SAMPLE_STRIDE] as string)
  const slot = windows.use(key)
  if (slot === undefined) {
    missing.add(key)
    return
  }
  entry.shadows ??= new Int32Array(entry.count).fill(NO_SLOT)
  entry.shadows[index] = slot
}

interface Scoring {
  readonly options: AnalyseOptions
  readonly windows: Windows
  readonly aggregates: Aggregates | null
  readonly judges: readonly Judge[]
  readonly effects: Effects
}

/**
 * Scores a run's samples in order and updates their windows and buckets, all of which must be in
 * memory.
 */
export function analyseRun(
  run: Run,
  windows: Windows,
  options: AnalyseOptions,
  aggregates: Aggregates | null = null,
): Effects {
  const effects = new Effects(options)
  const scoring = { options, windows, aggregates, judges: judgesOf(options.rules), effects }
  const analyses = run.readable.map(entry => scoreEntry(entry, scoring))
  for (const { verdicts } of analyses) effects.verdicts.push(verdicts)
  collectUpdates(analyses, windows, aggregates, effects, options.sinkInterval)
  return effects
}

function scoreEntry(entry: ReadableEntry, scoring: Scoring): EntryAnalysis {
  const { options, windows, aggregates, judges, effects } = scoring
  const { samples, slots, shadows, count } = entry
  const { rules, sinkInterval } = options
  const analysis = new EntryAnalysis(entry, options)
  const time = arrivalMs(entry.id, options.now)
  for (let index = 0; index < count; index++) {
    const value = samples[index * SAMPLE_STRIDE + 1] as number
    const timestamp = samples[index * SAMPLE_STRIDE + 2] as number
    const slot = slots[index] as Slot
    const number = windows.policyOf(slot, rules, isOfCounter(timestamp))
    const judge = judges[number] ?? judgeOf(rules, number)
    const row = windows.row(slot)
    // The sample may begin the window again, in which others may wait for their buckets.
    if (aggregates !== null && row.rows[row.start + HYGIENE] !== 0) aggregates.catchUp(slot, row)
    const judged = judge.step(row, value, timestamp, time)
    analysis.recordFinding(index, judged)
    if (aggregates !== null && judged.isAnalysed) {
      aggregates.follow(slot, row, judged, value, toUnixMs(timestamp), time)
    }
    if (number !== DEFAULT_POLICY || judged.order !== 'in_order') {
      analysis.recordJudgement(index, number, judged)
      effects.countOrder(judged, judge.policy)
      if (judge.policy.rule !== null && judged.isAnalysed) effects.count(judge, judged)
    }
    if (judged.isFlagged) {
      const text = analysis.encode(index) as string
      effects.anomalies.push(text)
      if (sinkInterval !== undefined && windows.takesPoint(slot, sinkInterval, anomalyScore(judged, true) ?? 0)) {
        effects.points.push(text)
      }
    }
    const hasEvents = judged.alerts.length > 0 || judged.silences.length > 0 || judged.isShift
    if (hasEvents) effects.addAlerts(keyAt(entry, index), judge.policy, judged, { value, time })
    if (!judged.isAnalysed || judged.isShift) windows.requireRow(slot)
    if (hasEvents || row.shape.hasSilence) {
      const dueAt = judge.nextTimer(row)
      if (dueAt !== undefined) effects.setTimer(keyAt(entry, index), dueAt)
    }
    const shadow = shadows?.[index] ?? NO_SLOT
    if (shadow !== NO_SLOT) {
      const tried = windows.shadowOf(slot)
      scoreShadow(analysis, index, shadow, judges[tried] ?? judgeOf(rules, tried), scoring)
    }
  }
  return analysis
}

/** Scores a sample by its shadow rule, which affects only counts and the list `shadowed`. */
function scoreShadow(analysis: EntryAnalysis, index: number, slot: Slot, judge: Judge, scoring: Scoring): void {
  const { entry, context } = analysis
  const { options, windows, effects } = scoring
  const value = entry.samples[index * SAMPLE_STRIDE + 1] as number
  const timestamp = entry.samples[index * SAMPLE_STRIDE + 2] as number
  // Samples of one run may differ in whether they are of a counter.
  windows.adopt(slot, judge.policy)
  const judged = judge.step(windows.row(slot), value, timestamp, arrivalMs(entry.id, options.now))
  if (!judged.isAnalysed || judged.isShift) windows.requireRow(slot)
  if (!judged.isAnalysed) return
  effects.count(judge, judged)
  if (!judged.isFlagged) return
  const { mean, deviation, meanRest, count, window, score, threshold, low, high, order, outside } = judged
  const { rule, detector, unit } = judge.policy
  const side = outside === 0 ? null : sideNamed(outside)
  const rate = judge.policy.isCounter ? judged.rate : null
  const ruleFinding = { rule, detector, score, threshold, low, high, order, excluded: null, rate, outside: side, unit }
  const measure = { mean, deviation, meanRest, count, window }
  const sample = { key: keyAt(entry, index), value, timestamp: toUnixMs(timestamp) }
  const finding = { ...sample, ...measure, judged: ruleFinding }
  effects.shadowed.push({ rule: rule ?? '', analysis: encodeAnalysis(finding, context) })
}

/**
 * Adds one update per key: its window and its newest analysis, found from the end: encoding all
 * would cost ten times as much as scoring. A refused sample has none: the one before it counts.
 */
function collectUpdates(
  analyses: readonly EntryAnalysis[],
  windows: Windows,
  aggregates: Aggregates | null,
  effects: Effects,
  sinkInterval: number | undefined,
): void {
  /** Updates that still lack an analysis: all later samples of the key were refused. */
  const incomplete = new Map<Slot, { readonly key: string; analysis: LateJson | null }>()
  windows.beginUpdates()
  for (const analysis of analyses.toReversed()) {
    const { entry } = analysis
    for (let index = entry.count - 1; index >= 0; index--) {
      const slot = entry.slots[index] as Slot
      const shadow = entry.shadows?.[index] ?? NO_SLOT
      if (shadow !== NO_SLOT && windows.addToUpdates(shadow)) {
        effects.keys.push({ key: SHADOW + keyAt(entry, index), window: windows.encodeUpdate(shadow), analysis: null })
      }
      if (windows.addToUpdates(slot)) {
        aggregates?.completeRow(slot, windows.row(slot))
        const window = windows.encodeUpdate(slot)
        const update = { key: keyAt(entry, index), window, analysis: analysis.encodeLater(index) }
        effects.keys.push(update)
        aggregates?.update(slot, update.key, effects.aggregates)
        if (update.analysis === null) incomplete.set(slot, update)
        else if (sinkInterval !== undefined && windows.takesPoint(slot, sinkInterval, 0)) {
          effects.points.push(String(update.analysis))
        }
      } else if (incomplete.size > 0) {
        const update = incomplete.get(slot)
        if (update === undefined) continue
        update.analysis = analysis.encodeLater(index)
        if (update.analysis !== null) incomplete.delete(slot)
      }
    }
  }
  for (const { key } of incomplete.values()) effects.refusedKeys.push(key)
}

/** Expires the timers of keys that are in memory, as of `now`, and sets the keys' next timers. */
export function expireTimers(
  keys: readonly string[],
  now: number,
  windows: Windows,
  options: AnalyseOptions,
  aggregates: Aggregates | null = null,
): Effects {
  const effects = new Effects(options)
  const judges = judgesOf(options.rules)
  windows.beginUpdates()
  for (const key of keys) {
    const slot = windows.use(key)
    if (slot === undefined) continue
    const number = windows.lastPolicyOf(slot, options.rules)
    const judge = judges[number] ?? judgeOf(options.rules, number)
    const row = windows.row(slot)
    const expired = { alerts: [], silences: [] }
    judge.expire(row, now, expired)
    effects.addExpired(key, judge.policy, expired)
    const dueAt = judge.timerAt(row)
    const isOver = dueAt === Number.POSITIVE_INFINITY
    row.rows[row.start + TIMER] = isOver ? 0 : dueAt
    effects.setTimer(key, isOver ? null : dueAt)
    windows.requireRow(slot)
    aggregates?.completeRow(slot, row)
    effects.keys.push({ key, window: windows.encodeUpdate(slot), analysis: null })
    aggregates?.update(slot, key, effects.aggregates)
  }
  return effects
}

/**
 * Whether a key may be evicted: no alert fires, and none can yet without another sample. A key that
 * a silence rule watches has a timer, until the rule has fired.
 */
export function isAtRest({ rows, start, shape }: KeyRow): boolean {
  const isFiring = alertPhase(rows, start + ALERT) === 'firing' || (shape.hasSilence && isSilent(rows, start + SILENCE))
  return !isFiring && rows[start + TIMER] === 0
}

/** Resolves the alerts of keys that are deleted at `now`. Their rows must not be used any more. */
export function endKeys(keys: readonly string[], now: number, windows: Windows, options: AnalyseOptions): Effects {
  const effects = new Effects(options)
  for (const key of keys) {
    const slot = windows.use(key)
    if (slot === undefined) continue
    const { rows, start, shape } = windows.row(slot)
    const events: TimerEvents = { alerts: [], silences: [] }
    endAlert(rows, start + ALERT, now, events.alerts)
    if (shape.hasSilence) endSilence(rows, start + SILENCE, now, events.silences)
    effects.addDeleted(key, events)
  }
  return effects
}

const keyBytesOfRules = new WeakMap<RuleSet, number>()

/** Returns the most memory that a key's windows can take by these rules. */
export function keyBytesMax(rules: RuleSet): number {
  let bytes = keyBytesOfRules.get(rules)
  if (bytes === undefined) {
    const rows = rules.policies.map(policy => rowBytes(shapeOf(policy)))
    bytes = (KEY_BYTES + rows.reduce((most, one) => Math.max(most, one), 0)) * (rules.hasShadows ? 2 : 1)
    keyBytesOfRules.set(rules, bytes)
  }
  return bytes
}

const judgesOfRules = new WeakMap<RuleSet, Judge[]>()

/** Returns the judges by policy number. They are stateless, so all partitions share them. */
function judgesOf(rules: RuleSet): Judge[] {
  let judges = judgesOfRules.get(rules)
  if (judges === undefined) {
    judges = rules.policies.map(policy => new Judge(policy))
    judgesOfRules.set(rules, judges)
  }
  return judges
}

/** Returns the judge of a policy that was added for counters, in the same list from then on. */
function judgeOf(rules: RuleSet, number: number): Judge {
  const judge = new Judge(rules.policies[number] as Policy)
  judgesOf(rules)[number] = judge
  return judge
}

function keyAt({ samples }: ReadableEntry, index: number): string {
  return samples[index * SAMPLE_STRIDE] as string
}
