import type { KeyTemplate, Labels } from '@tidemark/shared/sample/key-template'
import type { PbfReader } from 'pbf'
import type { CounterMode } from '../../../config.ts'
import { type Batch, quote, type Rule } from '../../formats/batch.ts'
import { RecentMap } from '../recent-map.ts'
import { checkEnd, readEnd, readTag, readText, skipField } from '../wire.ts'
import { isCounterByName } from './metric-types.ts'
import type { SeriesRules } from './series-rules.ts'

/** Of labels that are remembered with their series, in each of two generations; twice for each. */
const REMEMBERED_BYTES = 8 * 1024 * 1024

const METRIC_NAME = '__name__'

/** What becomes of the samples of a series, as its labels and the rules say. */
export type Series =
  | { readonly kind: 'denied' }
  | { readonly kind: 'rejected'; readonly rule: Rule; readonly problem: string }
  | {
      readonly kind: 'taken'
      readonly key: string
      readonly name: string
      readonly isCounter: boolean
      /** Whether a rule says what it is, so that no type counts. */
      readonly isRuled: boolean
    }

/** A series by the bytes of its labels. */
interface Known {
  readonly bytes: Buffer
  readonly series: Series
}

interface SeriesIndexOptions {
  readonly template: KeyTemplate
  readonly counters: CounterMode
  readonly rules: SeriesRules
}

/**
 * Finds the series of labels. Senders repeat the same labels byte by byte with each sample, so
 * series are remembered by those bytes: to decode labels takes ten times as long.
 */
export class SeriesIndex {
  readonly #template: KeyTemplate
  readonly #counters: CounterMode
  #rules: SeriesRules
  readonly #known = new RecentMap<Known>(REMEMBERED_BYTES)

  constructor({ template, counters, rules }: SeriesIndexOptions) {
    this.#template = template
    this.#counters = counters
    this.#rules = rules
  }

  /** Series that are remembered. */
  get size(): number {
    return this.#known.size
  }

  replaceRules(rules: SeriesRules): void {
    this.#rules = rules
    this.#known.clear()
  }

  /** Returns the series whose labels are the fields from `start` to `end`. */
  find(pbf: PbfReader, start: number, end: number, batch: Batch): Series {
    const buffer = pbf.buf as Buffer
    const { expected } = this.#known
    if (expected?.bytes.length === end - start && buffer.compare(expected.bytes, 0, end - start, start, end) === 0) {
      this.#known.advance()
      return expected.series
    }
    const text = buffer.toString('latin1', start, end)
    const known = this.#known.get(text)
    if (known !== undefined) return known.series
    const series = this.#create(pbf, start, end, batch)
    this.#known.set(text, { bytes: Buffer.from(text, 'latin1'), series })
    return series
  }

  #create(pbf: PbfReader, start: number, end: number, batch: Batch): Series {
    const given = readLabels(pbf, start, end)
    const twice = given.find(([name], i) => given.findIndex(other => other[0] === name) < i)?.[0]
    if (twice !== undefined) return rejected('shape', `the label ${quote(twice)} occurs twice`)
    const verdict = this.#rules.apply(given)
    if (verdict === undefined) return { kind: 'denied' }
    const labels = verdict.labels.filter(([name]) => name !== METRIC_NAME)
    const name = verdict.labels.find(([name]) => name === METRIC_NAME)?.[1] ?? ''
    if (name === '') return rejected('shape', `the label ${METRIC_NAME} is missing`)
    const unplaced = this.#template.unplaced(labels)
    if (unplaced !== undefined) {
      const remedy = 'add {tags} to it, or drop the label by labeldrop in PROMETHEUS_RULES_FILE'
      return rejected('key', `PROMETHEUS_KEY has no place for the label ${quote(unplaced)}: ${remedy}`)
    }
    const made = this.#template.key([name], labels)
    const problem = batch.keyFault(made)
    if (problem !== undefined) return rejected('key', `key ${quote(made)} ${problem}`)
    // A flat string: the parts of what + makes are slower to hash and to pack, each time.
    const key = Buffer.from(made).toString()
    const isCounter = verdict.isCounter ?? (this.#counters === 'suffix' && isCounterByName(name))
    return { kind: 'taken', key, name, isCounter, isRuled: verdict.isCounter !== undefined || this.#counters === 'off' }
  }
}

function rejected(rule: Rule, problem: string): Series {
  return { kind: 'rejected', rule, problem }
}

/** Reads fields that are labels, each `{1: name, 2: value}`. */
function readLabels(pbf: PbfReader, start: number, end: number): Labels {
  const labels: (readonly [string, string])[] = []
  const { pos } = pbf
  pbf.pos = start
  while (pbf.pos < end) {
    pbf.readVarint()
    labels.push(readLabel(pbf, readEnd(pbf, end)))
  }
  pbf.pos = pos
  return labels
}

function readLabel(pbf: PbfReader, end: number): readonly [string, string] {
  let name = ''
  let value = ''
  while (pbf.pos < end) {
    const tag = readTag(pbf)
    if (tag === 0x0a) name = readText(pbf, readEnd(pbf, end))
    else if (tag === 0x12) value = readText(pbf, readEnd(pbf, end))
    else skipField(pbf, tag & 7, end)
  }
  checkEnd(pbf, end)
  return [name, value]
}
