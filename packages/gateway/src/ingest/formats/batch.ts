import { arrivalTimestamp, counterTimestamp } from '@tidemark/shared/sample/arrival'
import type { KeyTemplate } from '@tidemark/shared/sample/key-template'
import { keyFault, type Sample } from '@tidemark/shared/sample/sample'
import { parseTimestamp } from '@tidemark/shared/sample/timestamp'
import type { Total } from '@tidemark/shared/store/ports/totals'
import type { SkipReason } from '../../metrics.ts'

/** Characters of a client's text that a reason quotes. */
const QUOTE_LENGTH_MAX = 64

/** The rule that an item broke: a label of a metric. */
export type Rule = 'shape' | 'key' | 'value' | 'timestamp' | 'forbidden' | 'keys_max'

export interface Rejection {
  /** Position of the item in its body: index of the array, or line; 0 for a single object. */
  readonly index: number
  readonly rule: Rule
  /** Names the item and the rule, for the developer of the client. */
  readonly reason: string
}

/** Why a body as a whole cannot be read; undefined if it can. */
export type BodyFault =
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'too-many' }
  | undefined

interface BatchLimits {
  readonly samplesMax: number
  readonly keyBytesMax: number
  readonly valueAbsMax: number
  /** How far after the arrival a timestamp may be. */
  readonly futureMaxMs: number
  /** Makes the keys of metrics that have a measurement, tags and fields. */
  readonly template: KeyTemplate
}

/** A sample with valid types, whose content is not validated yet. */
export interface RawSample {
  readonly key: string
  readonly value: number
  readonly timestamp?: number | string | null | undefined
}

/** The item of a sample and, in an item of several, its name. */
export interface Place {
  readonly index: number
  readonly metric?: string
}

/** The point of a cumulative series, whose samples are means of what came since its last point. */
export interface SeriesTotal extends Total {
  readonly key: string
  /** When its count began, Unix milliseconds; undefined if the sender does not say. */
  readonly start: number | undefined
  /** The time of the sample; undefined for that of its arrival. */
  readonly ms: number | undefined
  readonly place: Place
}

/** How a format names its items to developers: `sample 3: metric "t":`. */
export type Naming = (place: Place) => string

export const nameSample: Naming = ({ index, metric }) =>
  `sample ${index}:${metric === undefined ? '' : ` metric ${quote(metric)}:`}`

const NONE_SKIPPED: ReadonlyMap<SkipReason, number> = new Map()

/** A request's valid samples and rejections. All formats use `add`, so the same rules apply. */
export class Batch {
  readonly samples: Sample[] = []
  /** The index of each sample's item. */
  readonly indexes: number[] = []
  readonly rejections: Rejection[] = []
  /** What becomes a sample when the point before it is known. */
  readonly totals: SeriesTotal[] = []
  #skipped: Map<SkipReason, number> | undefined
  readonly nameOf: Naming
  readonly #limits: BatchLimits
  readonly #now: number
  /** The timestamp of samples that have none. */
  readonly #arrival: number

  /** `now` (Unix milliseconds) is when the samples arrived. */
  constructor(limits: BatchLimits, now: number, nameOf = nameSample) {
    this.#limits = limits
    this.#now = now
    this.#arrival = arrivalTimestamp(now)
    this.nameOf = nameOf
  }

  /** What is neither a sample nor a mistake, such as a text among numbers: how many, by reason. */
  get skipped(): ReadonlyMap<SkipReason, number> {
    return this.#skipped ?? NONE_SKIPPED
  }

  get samplesMax(): number {
    return this.#limits.samplesMax
  }

  get template(): KeyTemplate {
    return this.#limits.template
  }

  get isTooLarge(): boolean {
    return this.samples.length + this.totals.length + this.rejections.length > this.#limits.samplesMax
  }

  add({ key, value, timestamp }: RawSample, place: Place): void {
    const ms = timestamp === undefined || timestamp === null ? this.#arrival : parseTimestamp(timestamp)
    this.#add(key, value, ms, timestamp, place)
  }

  /** Adds a sample whose time is known in Unix milliseconds; undefined for that of its arrival. */
  addAt(key: string, value: number, ms: number | undefined, place: Place): void {
    this.#add(key, value, ms ?? this.#arrival, ms, place)
  }

  /** The same for a sample of a counter, whose rate is scored. */
  addCounterAt(key: string, value: number, ms: number | undefined, place: Place): void {
    this.#add(key, value, counterTimestamp(ms ?? this.#arrival), ms, place)
  }

  /**
   * Adds a point of a cumulative series. One that breaks a rule is left out here: its count, which
   * is a sample of the same place, has the reason.
   */
  addTotal({ ms, ...total }: Omit<SeriesTotal, 'time'>): void {
    const time = ms ?? this.#now
    const isValid = time <= this.#now + this.#limits.futureMaxMs && this.keyFault(total.key) === undefined
    if (isValid) this.totals.push({ ...total, ms, time })
  }

  /** Returns what is wrong with a key, as the end of a sentence; undefined for a valid one. */
  keyFault(key: string): string | undefined {
    return keyFault(key, this.#limits.keyBytesMax)
  }

  /** Adds a sample of a key that `keyFault` accepts. */
  addChecked(key: string, value: number, ms: number | undefined, isCounter: boolean, place: Place): void {
    const stored = ms ?? this.#arrival
    this.#addValue(key, value, isCounter ? counterTimestamp(stored) : stored, ms, place)
  }

  /** `ms` is what is wrong with the timestamp if it has no time. */
  #add(key: string, value: number, ms: number | string, timestamp: RawSample['timestamp'], place: Place): void {
    const keyProblem = keyFault(key, this.#limits.keyBytesMax)
    if (keyProblem === undefined) this.#addValue(key, value, ms, timestamp, place)
    else this.reject(place, 'key', `key ${keyProblem}`)
  }

  #addValue(key: string, value: number, ms: number | string, timestamp: RawSample['timestamp'], place: Place): void {
    const { valueAbsMax, futureMaxMs } = this.#limits
    if (!(Math.abs(value) <= valueAbsMax)) {
      this.reject(place, 'value', `value must be from -${valueAbsMax} to ${valueAbsMax}`)
    } else if (typeof ms === 'string') {
      this.reject(place, 'timestamp', `timestamp ${typeof timestamp === 'string' ? quote(timestamp) : timestamp} ${ms}`)
    } else if (ms > this.#now + futureMaxMs) {
      this.reject(place, 'timestamp', describeFuture(ms, futureMaxMs))
    } else {
      // -0 + 0 is 0: JSON prints both as 0, so a reader could not distinguish them later.
      this.samples.push({ key, value: value + 0, timestamp: ms })
      this.indexes.push(place.index)
    }
  }

  /** Rejects samples whose keys do not begin with the prefix that the API key is bound to. */
  keepPrefix(prefix: string): void {
    const { samples, indexes } = this
    let kept = 0
    for (let i = 0; i < samples.length; i++) {
      const sample = samples[i] as Sample
      const index = indexes[i] as number
      if (sample.key.startsWith(prefix)) {
        samples[kept] = sample
        indexes[kept++] = index
      } else this.reject({ index }, 'forbidden', `the API key may write only keys that begin with ${quote(prefix)}`)
    }
    samples.length = kept
    indexes.length = kept
    this.rejections.sort((a, b) => a.index - b.index)
  }

  reject(place: Place, rule: Rule, problem: string): void {
    this.rejections.push({ index: place.index, rule, reason: `${this.nameOf(place)} ${problem}` })
  }

  skip(reason: SkipReason, count = 1): void {
    this.#skipped ??= new Map()
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + count)
  }
}

function describeFuture(ms: number, futureMaxMs: number): string {
  const time = new Date(ms).toISOString()
  return `timestamp ${time} is more than ${futureMaxMs} ms (FUTURE_MAX_MS) after now: check its unit and the clock`
}

/** Returns a client's text as a short JSON string, without control characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > QUOTE_LENGTH_MAX ? `${text.slice(0, QUOTE_LENGTH_MAX)}...` : text)
}
