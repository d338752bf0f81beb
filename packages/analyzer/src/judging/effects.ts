import type { AlertEvent } from '@tidemark/shared/detection/alerts/alert'
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
import type { SilenceEvent } from '@tidemark/shared/detection/alerts/silence'
import type { Judge, Judged, TimerEvents } from '@tidemark/shared/detection/judge'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { MILLION, type RuleCount, ruleCountName } from '@tidemark/shared/detection/rules/rule-counts'
import type { EndedAlert, OpenedAlert } from '@tidemark/shared/store/ports/alerts'
import type { Commit, KeyUpdate } from '@tidemark/shared/store/ports/commit'
import type { EntryFindings } from '@tidemark/shared/verdict/kept-verdicts'

/** Late and duplicate samples of a run, for the metrics. */
export interface Tally {
  late: number
  duplicates: number
  refusedLate: number
  refusedDuplicates: number
}

/** What scoring a run changes, gathered sample by sample: most of a commit. */
export class Effects {
  readonly keys: KeyUpdate[] = []
  readonly anomalies: string[] = []
  readonly verdicts: EntryFindings[] = []
  readonly opened: OpenedAlert[] = []
  readonly ended: EndedAlert[] = []
  readonly shadowed: { readonly rule: string; readonly analysis: string }[] = []
  readonly tally: Tally = { late: 0, duplicates: 0, refusedLate: 0, refusedDuplicates: 0 }
  readonly #partition: number
  readonly #alertWaitMs: number
  readonly #timers = new Map<string, number | null>()
  readonly #counts = new Map<Policy, Record<RuleCount, number>>()

  constructor({ partition, alertWaitMs }: { readonly partition: number; readonly alertWaitMs: number }) {
    this.#partition = partition
    this.#alertWaitMs = alertWaitMs
  }

  /** The part of a commit that is empty under the default policy unless an alert changes. */
  get ruleEffects(): Pick<Commit, 'alerts' | 'timers' | 'counts' | 'shadowed'> {
    const counts = [...this.#counts].flatMap(([{ rule, version }, counted]) =>
      Object.entries(counted)
        .filter(([, by]) => by > 0)
        .map(([what, by]) => ({ name: ruleCountName(rule ?? '', version, what as RuleCount), by })),
    )
    const timers = [...this.#timers].map(([key, at]) => ({ key, at }))
    return { alerts: { opened: this.opened, ended: this.ended }, timers, counts, shadowed: this.shadowed }
  }

  /** The samples counted for each rule; `expected` in millionths. */
  get counts(): ReadonlyMap<Policy, Readonly<Record<RuleCount, number>>> {
    return this.#counts
  }

  /** Sets when the key must be checked even without a sample, in Unix ms; null removes it. */
  setTimer(key: string, at: number | null): void {
    this.#timers.set(key, at)
  }

  /** Adds the alerts that a sample opened or resolved. */
  addAlerts(key: string, policy: Policy, judged: Judged, sample: { value: number; time: number }): void {
    const place = { partition: this.#partition, key, policy }
    this.#addSilences(place, judged.silences)
    this.#addAnomalies(place, judged.alerts, judged)
    if (!judged.isShift) return
    const { opening, end } = levelShift(place, { ...sample, count: judged.count })
    this.#open(opening, 0)
    this.ended.push({ id: opening.id, key, cause: 'level_shift', openedAt: opening.opened_at, end })
  }

  /** Adds the alerts that expired timers opened or resolved. Only samples open anomaly alerts. */
  addExpired(key: string, policy: Policy, { silences, alerts }: TimerEvents): void {
    const place = { partition: this.#partition, key, policy }
    this.#addSilences(place, silences)
    this.#addAnomalies(place, alerts, undefined)
  }

  /** Counts a late or duplicate sample. */
  countOrder({ order, isAnalysed }: Judged): void {
    const { tally } = this
    if (order === 'late') tally.late++
    if (order === 'duplicate') tally.duplicates++
    if (!isAnalysed && order === 'late') tally.refusedLate++
    if (!isAnalysed && order === 'duplicate') tally.refusedDuplicates++
  }

  /** Counts an analysed sample for its rule. */
  count(judge: Judge, { score, isFlagged, alerts }: Judged): void {
    let counts = this.#counts.get(judge.policy)
    if (counts === undefined) {
      counts = { judged: 0, flagged: 0, expected: 0, opened: 0 }
      this.#counts.set(judge.policy, counts)
    }
    for (const { kind } of alerts) if (kind === 'opened') counts.opened++
    if (Number.isNaN(score)) return
    counts.judged++
    if (isFlagged) counts.flagged++
    // Rounded per sample, so that the sum does not depend on how samples are spread over commits.
    counts.expected += Math.round((judge.expectedShare() ?? 0) * MILLION)
  }

  #addSilences(place: AlertPlace, events: readonly SilenceEvent[]): void {
    for (const event of events) {
      if (event.kind === 'silent') this.#open(silentOpening(event, place), 0)
      else {
        const id = silentId(event, place)
        this.ended.push({ id, key: place.key, cause: 'silent', openedAt: event.lastAt, end: heardEnd(event) })
      }
    }
  }

  #addAnomalies(place: AlertPlace, events: readonly AlertEvent[], judged: Judged | undefined): void {
    for (const event of events) {
      if (event.kind === 'resolved') {
        const { openedAt } = event
        const id = resolvedId(event, place)
        this.ended.push({ id, key: place.key, cause: 'anomaly', openedAt, end: anomalyEnd(event) })
      } else if (judged !== undefined) {
        const { judgement, window } = judged
        this.#open(anomalyOpening(event, { ...place, judgement, window }), event.openedBefore)
      }
    }
  }

  #open(opening: AlertOpening, openedBefore: number): void {
    this.opened.push({ opening, openedBefore, notifyAfterMs: this.#alertWaitMs })
  }
}
