import { keyFault, type Sample, toMilliseconds } from '@tidemark/shared/sample/sample'

/** Characters of a client's own text that a reason repeats; the rest of a long name helps nobody. */
const QUOTE_LENGTH_MAX = 64

/** Which rule an item broke: a closed set, because it becomes a label of a metric. */
export type Rule = 'shape' | 'key' | 'value' | 'timestamp'

export interface Rejection {
  /** Place of the item in its body: of the array's element, of the line; 0 of a body that is one object. */
  readonly index: number
  readonly rule: Rule
  /** A sentence for whoever wrote the client: the item and the rule. */
  readonly reason: string
}

/** Why a body as a whole could not be read. Undefined where it could: then each item was judged on its own. */
export type BodyFault =
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'too-many' }
  | undefined

export interface BatchLimits {
  readonly samplesMax: number
  readonly keyBytesMax: number
  readonly valueAbsMax: number
}

/** A sample as a client sent it: the types are right, the content is not judged yet. */
export interface RawSample {
  readonly key: string
  readonly value: number
  readonly timestamp?: number | string | undefined
}

/** Where a sample stood: in which item and, in a device's item, under which name. */
export interface Place {
  readonly index: number
  readonly metric?: string
}

/**
 * What one request brought: the samples that keep the rules and the rejections of those that do not. Every format puts
 * what it finds through `add`, so the rules on content are the same for all.
 */
export class Batch {
  readonly samples: Sample[] = []
  /** Of each sample the index of its item. */
  readonly indexes: number[] = []
  readonly rejections: Rejection[] = []
  readonly #limits: BatchLimits
  readonly #now: number

  /** `now` (Unix milliseconds) is the timestamp of samples that bring none. */
  constructor(limits: BatchLimits, now: number) {
    this.#limits = limits
    this.#now = now
  }

  get samplesMax(): number {
    return this.#limits.samplesMax
  }

  get isTooLarge(): boolean {
    return this.samples.length + this.rejections.length > this.#limits.samplesMax
  }

  add({ key, value, timestamp }: RawSample, place: Place): void {
    const { keyBytesMax, valueAbsMax } = this.#limits
    const keyProblem = keyFault(key, keyBytesMax)
    const ms = timestamp === undefined ? this.#now : toMilliseconds(timestamp)
    if (keyProblem !== undefined) this.reject(place, 'key', `key ${keyProblem}`)
    else if (!(Math.abs(value) <= valueAbsMax)) {
      this.reject(place, 'value', `value must be from -${valueAbsMax} to ${valueAbsMax}`)
    } else if (ms === undefined) {
      this.reject(place, 'timestamp', 'timestamp must be Unix seconds, Unix milliseconds or an ISO 8601 string')
    } else {
      // -0 + 0 is 0: JSON prints both alike, so a reader could not tell them apart later.
      this.samples.push({ key, value: value + 0, timestamp: ms })
      this.indexes.push(place.index)
    }
  }

  reject(place: Place, rule: Rule, problem: string): void {
    const metric = place.metric === undefined ? '' : ` metric ${quote(place.metric)}:`
    this.rejections.push({ index: place.index, rule, reason: `sample ${place.index}:${metric} ${problem}` })
  }
}

/** A client's text as a JSON string, shortened: control characters in it cannot break a log or a terminal. */
export function quote(text: string): string {
  return JSON.stringify(text.length > QUOTE_LENGTH_MAX ? `${text.slice(0, QUOTE_LENGTH_MAX)}...` : text)
}
