import { Judge, type Judged, type TimerEvents } from '@tidemark/shared/detection/judge'
import { clearRow, createRow, type KeyRow, shapeOf, startDetector } from '@tidemark/shared/detection/key-row'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { toUnixMs } from '@tidemark/shared/sample/arrival'
import type { KeptSamples } from './kept-samples.ts'

/** Alerts that are listed of a key; all are counted. */
const ALERTS_MAX = 20

interface TestedAlert {
  readonly kind: 'anomaly' | 'silent'
  /** The sample's timestamp; of a silence, when it was noticed. */
  readonly opened_at: number
  /** Null if it still fires at the end. */
  resolved_at: number | null
  /** The sample that opened it; null for a silence. */
  readonly value: number | null
  readonly score: number | null
}

/** What a policy makes of the samples of a key. */
export interface Tested {
  /** Samples with a score: those before only taught. */
  scored: number
  flagged: number
  opened: number
  /** The newest, oldest first. */
  readonly alerts: TestedAlert[]
}

/** The verdict on each sample; `low` and `high` are null where there is no band of values. */
export interface TestedSamples {
  readonly low: (number | null)[]
  readonly high: (number | null)[]
  readonly flagged: boolean[]
  readonly opened: boolean[]
}

/**
 * Scores kept samples by policies, with the detection code of production. Each key begins without
 * memory, under every policy the same, so that what differs is due to the policies alone.
 */
export class BackTest {
  readonly #judges = new Map<Policy, { readonly judge: Judge; readonly row: KeyRow }>()

  /** Scores one key up to `now`. */
  run(policy: Policy, { values, timestamps, times }: KeptSamples, now: number, each?: TestedSamples): Tested {
    const { judge, row } = this.#judgeOf(policy)
    const tested: Tested = { scored: 0, flagged: 0, opened: 0, alerts: [] }
    values.forEach((value, i) => {
      const stored = timestamps[i] as number
      const judged = judge.step(row, value, stored, times[i] as number)
      if (!Number.isNaN(judged.score)) tested.scored++
      if (judged.isAnalysed && judged.isFlagged) tested.flagged++
      const opened = tested.opened
      noteEvents(tested, judged, { at: toUnixMs(stored), value })
      if (each !== undefined) noteSample(each, policy, judged, tested.opened > opened)
    })
    const events: TimerEvents = { alerts: [], silences: [] }
    judge.expire(row, now, events)
    noteEvents(tested, events, { at: now, value: null })
    return tested
  }

  /** Returns the policy's judge with a row that is as that of a new key. */
  #judgeOf(policy: Policy) {
    const known = this.#judges.get(policy)
    if (known !== undefined) {
      clearRow(known.row)
      startDetector(known.row)
      return known
    }
    const judge = new Judge(policy)
    const created = { judge, row: createRow(shapeOf(policy)) }
    this.#judges.set(policy, created)
    return created
  }
}

function noteEvents(
  tested: Tested,
  { alerts, silences }: TimerEvents,
  { at, value }: { readonly at: number; readonly value: number | null },
): void {
  for (const event of alerts) {
    if (event.kind === 'opened') open(tested, { kind: 'anomaly', opened_at: at, value, score: event.score })
    else resolve(tested, 'anomaly', event.time)
  }
  for (const event of silences) {
    if (event.kind === 'silent') open(tested, { kind: 'silent', opened_at: event.time, value: null, score: null })
    else resolve(tested, 'silent', event.time)
  }
}

function open(tested: Tested, alert: Omit<TestedAlert, 'resolved_at'>): void {
  tested.opened++
  tested.alerts.push({ ...alert, resolved_at: null })
  if (tested.alerts.length > ALERTS_MAX) tested.alerts.shift()
}

function resolve({ alerts }: Tested, kind: TestedAlert['kind'], time: number): void {
  const alert = alerts.findLast(one => one.kind === kind && one.resolved_at === null)
  if (alert !== undefined) alert.resolved_at = time
}

function noteSample(each: TestedSamples, { isCounter }: Policy, judged: Judged, isOpened: boolean): void {
  // Of a counter the band is that of its rate.
  const hasBand = judged.isAnalysed && !isCounter && !Number.isNaN(judged.low)
  each.low.push(hasBand && Number.isFinite(judged.low) ? judged.low : null)
  each.high.push(hasBand && Number.isFinite(judged.high) ? judged.high : null)
  each.flagged.push(judged.isAnalysed && judged.isFlagged)
  each.opened.push(isOpened)
}
