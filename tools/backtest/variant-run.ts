import { toUnitScore } from '@tidemark/shared/detection/detectors/detector'
import { Judge, type Judged } from '@tidemark/shared/detection/judge'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import type { Sample } from '@tidemark/shared/sample/sample'
import { KeyJudge } from './key-judge.ts'
import type { LabelWindow } from './labels.ts'
import { createTally, HitCounter } from './tally.ts'
import type { Variant } from './variant.ts'

/** Some samples of a file, with the numbers of their keys and their arrival times. */
export interface Block {
  readonly samples: readonly Sample[]
  readonly keys: readonly number[]
  readonly times: readonly number[]
}

/** An alert that a variant opened. */
export interface OpenedAlert {
  readonly key: string
  /** When it opened and was resolved, in the time of the samples; null: not until the end. */
  readonly openedAt: number
  resolvedAt: number | null
  readonly value: number
  readonly score: number
  readonly by: string
  /** Whether it opened inside a labelled window. */
  readonly isInside: boolean
}

/** What is wanted beside the counts. */
export interface Wanted {
  readonly scores: boolean
  readonly alerts: boolean
  readonly onJudged: ((sample: Sample, judged: Judged) => void) | undefined
}

/** One variant on one file. */
export class VariantRun {
  readonly tally = createTally()
  /** The scores of the last block, from 0 to 1, if they are wanted. */
  readonly scores: number[] = []
  /** All alerts in the order in which they opened, if they are wanted. */
  readonly alerts: OpenedAlert[] = []
  readonly #variant: Variant
  readonly #wanted: Wanted
  readonly #judges = new Map<Policy, Judge>()
  readonly #keys: KeyJudge[] = []
  readonly #firing = new Map<number, OpenedAlert>()
  readonly #flagged: HitCounter
  readonly #opened: HitCounter

  constructor(variant: Variant, windows: readonly LabelWindow[] | undefined, wanted: Wanted) {
    this.#variant = variant
    this.#wanted = wanted
    this.tally.isLabelled = windows !== undefined
    this.#flagged = new HitCounter(this.tally.flagged, windows ?? [])
    this.#opened = new HitCounter(this.tally.alerts, windows ?? [])
  }

  /** The time of the first alert in each window; Infinity without one. */
  get firstAlerts(): readonly number[] {
    return this.#opened.first
  }

  /** Scores and counts samples. Their arrival times must not decrease. */
  step({ samples, keys, times }: Block): void {
    const begin = process.threadCpuUsage()
    this.scores.length = 0
    for (let n = 0; n < samples.length; n++) {
      const sample = samples[n] as Sample
      const number = keys[n] as number
      const judge = this.#keys[number] ?? this.#start(sample.key, number)
      const judged = judge.step(sample.value, sample.timestamp, times[n] as number)
      this.#count(sample, number, judged)
      if (this.#wanted.scores) this.scores.push(scoreOf(judged))
      this.#wanted.onJudged?.(sample, judged)
    }
    // A plot would be most of the time.
    if (this.#wanted.onJudged !== undefined) return
    const { user, system } = process.threadCpuUsage(begin)
    this.tally.cpuMs += (user + system) / 1000
    this.tally.timed += samples.length
  }

  #start(key: string, number: number): KeyJudge {
    const policy = this.#variant.policyOf(key)
    const judge = this.#judges.get(policy) ?? new Judge(policy)
    this.#judges.set(policy, judge)
    const keyJudge = new KeyJudge(judge)
    this.#keys[number] = keyJudge
    return keyJudge
  }

  #count(sample: Sample, number: number, judged: Judged): void {
    const { tally } = this
    for (const { kind } of judged.silences) if (kind === 'silent') tally.silences++
    if (judged.alerts.length > 0) this.#countAlerts(sample, number, judged)
    if (!judged.isAnalysed) {
      if (judged.isIgnored) tally.ignored++
      else if (judged.order === 'late') tally.late++
      else tally.duplicates++
      return
    }
    tally.samples++
    if (Number.isNaN(judged.score)) tally.warming++
    if (judged.isShift) tally.levelShifts++
    if (judged.isFlagged) this.#flagged.hit(sample.timestamp)
  }

  #countAlerts({ key, value, timestamp }: Sample, number: number, { alerts, score }: Judged): void {
    for (const event of alerts) {
      if (event.kind === 'resolved') {
        const alert = this.#firing.get(number)
        if (alert !== undefined) alert.resolvedAt = event.time
        this.#firing.delete(number)
        continue
      }
      const isInside = this.#opened.hit(timestamp)
      if (!this.#wanted.alerts) continue
      const alert = { key, openedAt: timestamp, resolvedAt: null, value, score, by: event.by, isInside }
      this.alerts.push(alert)
      this.#firing.set(number, alert)
    }
  }
}

/** Returns the score from 0 to 1; a value outside the range of its rule has 1, by any score. */
function scoreOf({ score, threshold, outside }: Judged): number {
  return outside === 0 ? toUnitScore(Math.abs(score), threshold) : 1
}
