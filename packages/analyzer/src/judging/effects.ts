import {
  type AlertPlace,
  anomalyEnd,
  anomalyOpening,
  heardEnd,
  levelShift,
  resolvedId,
  silentId,
  silentOpening,
} from '@tidemark/shared/detection/alerts/openings'
import type { AlertOpening } from '@tidemark/shared/detection/alerts/record'
import type { Judge, Judged, TimerEvents } from '@tidemark/shared/detection/judge'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { MILLION, type RuleCount, ruleCountName } from '@tidemark/shared/detection/rules/rule-counts'
import type { AggregateUpdates } from '@tidemark/shared/store/ports/aggregates'
import type { EndedAlert, OpenedAlert } from '@tidemark/shared/store/ports/alerts'
import type { Commit, KeyUpdate } from '@tidemark/shared/store/ports/commit'
import type { EntryFindings } from '@tidemark/shared/verdict/kept-verdicts'

/**
 * When a key falls silent while its alert is open, receivers are notified of the silence first, not
 * that the alert has ended: they would regard the key as well until ALERT_WAIT_MS is over. The
 * check of an end is due at the commit.
 */
const BEFORE_THE_END_MS = -1

/**
 * Receivers are notified of a critical alert at once: it is never part of a storm. The check of an
 * alert that the same commit ends comes first.
 */
const AT_ONCE_MS = 1

/** Version 0.1.0 knows no such reason, so the reason is one that it knows. */
const DELETED = { resolve_reason: 'no_samples', deleted: true } as const

/** What scoring a run changes, gathered sample by sample: most of a commit. */
export class Effects {
  readonly keys: KeyUpdate[] = []
  readonly anomalies: string[] = []
  /** Analyses that the sink may write. */
  readonly points: string[] = []
  readonly verdicts: EntryFindings[] = []
  readonly opened: OpenedAlert[] = []
  readonly ended: EndedAlert[] = []
  readonly shadowed: { readonly rule: string; readonly analysis: string }[] = []
  readonly aggregates: AggregateUpdates = { states: [], writes: [] }
  /** Keys of which all samples were refused, so that they have no new analysis. */
  readonly refusedKeys: string[] = []
  /** Samples by their order, for the metrics, and those that a rule refused. */
  readonly tally = { late: 0, duplicate: 0 }
  readonly refused = { late: 0, duplicate: 0 }
  /** Samples that a rule ignores for their value, by rule. */
  readonly ignored = new Map<string, number>()
  /** The samples counted for each rule; `expected` in millionths. */
  readonly counts = new Map<Policy, Record<RuleCount, number>>()
  readonly #options: { readonly partition: number; readonly alertWaitMs: number }
  readonly #timers = new Map<string, number | null>()

  constructor(options: { readonly partition: number; readonly alertWaitMs: number }) {
    this.#options = options
  }

  /** The part of a commit that is empty under the default policy unless an alert changes. */
  get ruleEffects(): Pick<Commit, 'alerts' | 'timers' | 'counts' | 'shadowed'> {
    const counts = [...this.counts].flatMap(([{ rule, version }, counted]) =>
      Object.entries(counted)
        .filter(([, by]) => by > 0)
        .map(([what, by]) => ({ name: ruleCountName(rule ?? '', version, what as RuleCount), by })),
    )
    const timers = [...this.#timers].map(([key, at]) => ({ key, at }))
    return { alerts: { opened: this.opened, ended: this.ended }, timers, counts, shadowed: this.shadowed }
  }

  /** Sets when the key must be checked even without a sample, in Unix ms; null removes it. */
  setTimer(key: string, at: number | null): void {
    this.#timers.set(key, at)
  }

  /** Adds the alerts that a sample opened or resolved. */
  addAlerts(key: string, policy: Policy, judged: Judged, sample: { value: number; time: number }): void {
    const place = { partition: this.#options.partition, key, policy }
    this.#add(place, judged, judged)
    if (!judged.isShift) return
    const value = policy.isCounter ? judged.rate : sample.value
    const { mean, deviation, window, count } = judged
    const before = window === 0 ? {} : { before: { mean, deviation } }
    const { opening, end } = levelShift(place, { value, time: sample.time, count, ...before })
    this.#open(opening)
    this.ended.push({ id: opening.id, key, cause: 'level_shift', openedAt: opening.opened_at, end })
  }

  addExpired(key: string, policy: Policy, events: TimerEvents): void {
    this.#add({ partition: this.#options.partition, key, policy }, events)
  }

  /** Adds the ends of a deleted key's alerts. */
  addDeleted(key: string, { alerts, silences }: TimerEvents): void {
    const place = { partition: this.#options.partition, key }
    for (const event of alerts) {
      if (event.kind !== 'resolved') continue
      const end = { ...anomalyEnd(event), ...DELETED }
      this.ended.push({ id: resolvedId(event, place), key, cause: 'anomaly', openedAt: event.openedAt, end })
    }
    for (const event of silences) {
      if (event.kind !== 'heard') continue
      const end = { ...heardEnd(event), ...DELETED }
      this.ended.push({ id: silentId(event, place), key, cause: 'silent', openedAt: event.lastAt, end })
    }
  }

  countOrder({ order, isAnalysed, isIgnored }: Judged, { rule }: Policy): void {
    if (isIgnored) {
      const name = rule ?? ''
      this.ignored.set(name, (this.ignored.get(name) ?? 0) + 1)
      return
    }
    if (order === 'in_order') return
    this.tally[order]++
    if (!isAnalysed) this.refused[order]++
  }

  /** Counts an analysed sample for its rule. */
  count(judge: Judge, { score, isFlagged, alerts }: Judged): void {
    let counts = this.counts.get(judge.policy)
    if (counts === undefined) {
      counts = { judged: 0, flagged: 0, expected: 0, opened: 0 }
      this.counts.set(judge.policy, counts)
    }
    for (const { kind } of alerts) if (kind === 'opened') counts.opened++
    // A value outside the range of the rule needs no score.
    if (Number.isNaN(score) && !isFlagged) return
    counts.judged++
    if (isFlagged) counts.flagged++
    if (Number.isNaN(score)) return
    // Rounded per sample, so that the sum does not depend on how samples are spread over commits.
    counts.expected += Math.round((judge.expectedShare() ?? 0) * MILLION)
  }

  /** Adds alerts. Only a sample (`judged`) opens anomaly alerts. */
  #add(place: AlertPlace, { silences, alerts }: TimerEvents, judged?: Judged): void {
    const { key } = place
    const endsOpenAlert = alerts.some(event => event.kind === 'resolved' && event.reason === 'no_samples')
    for (const event of silences) {
      const { lastAt: openedAt } = event
      if (event.kind === 'silent')
        this.#open(silentOpening(event, place), endsOpenAlert ? { notifyAfterMs: BEFORE_THE_END_MS } : {})
      else this.ended.push({ id: silentId(event, place), key, cause: 'silent', openedAt, end: heardEnd(event) })
    }
    for (const event of alerts) {
      if (event.kind === 'resolved') {
        const { openedAt } = event
        this.ended.push({ id: resolvedId(event, place), key, cause: 'anomaly', openedAt, end: anomalyEnd(event) })
      } else if (judged !== undefined) {
        const { judgement, window } = judged
        this.#open(anomalyOpening(event, { ...place, judgement, window }), { openedBefore: event.openedBefore })
      }
    }
  }

  #open(opening: AlertOpening, changes: Partial<OpenedAlert> = {}): void {
    const { alertWaitMs } = this.#options
    const notifyAfterMs = opening.severity === 'critical' ? Math.min(AT_ONCE_MS, alertWaitMs) : alertWaitMs
    this.opened.push({ opening, openedBefore: 0, notifyAfterMs, ...changes })
  }
}
