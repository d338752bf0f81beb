import type { KeyTemplate, Labels } from '@tidemark/shared/sample/key-template'
import { type Batch, type BodyFault, type Place, quote } from '../../formats/batch.ts'

/** `AggregationTemporality`, as numbers and as the names that some senders write. */
const DELTA: ReadonlySet<unknown> = new Set([1, 'AGGREGATION_TEMPORALITY_DELTA'])
const CUMULATIVE: ReadonlySet<unknown> = new Set([2, 'AGGREGATION_TEMPORALITY_CUMULATIVE'])

/** The bit of `flags` that says that there is no value. */
const NO_RECORDED_VALUE = 1

const NS_PER_MS = 1e6

/** The name of an attribute for the instrumentation scope, as other formats have it. */
const SCOPE_NAME = 'otel.scope.name'

/** Of attributes whose values are lists. */
const DEPTH_MAX = 8

export interface OtlpOptions {
  readonly template: KeyTemplate
  /** Attributes of resources that are labels although the template does not name them. */
  readonly resourceAttributes: readonly string[]
}

type Message = Readonly<Record<string, unknown>>

/** Thrown where a request has not the structure of its schema; never leaves this module. */
class ShapeFault {
  readonly problem: string

  constructor(problem: string) {
    this.problem = problem
  }
}

/**
 * Reads an `ExportMetricsServiceRequest` as JSON.parse returns it: its fields are in lowerCamelCase
 * or snake_case, unknown ones are ignored. An index is that of a data point.
 */
export function readMetrics(request: unknown, options: OtlpOptions, batch: Batch): BodyFault {
  try {
    return new MetricsReader(options, batch).read(request)
  } catch (fault) {
    if (!(fault instanceof ShapeFault)) throw fault
    return { kind: 'malformed', reason: `the body is not an ExportMetricsServiceRequest: ${fault.problem}` }
  }
}

/** A metric, and what of its resource and scope is part of its keys. */
interface Metric {
  readonly name: string
  readonly shared: Labels
  readonly kind: string
  readonly isDelta: boolean
  readonly isCumulative: boolean
  readonly isMonotonic: boolean
}

class MetricsReader {
  readonly #template: KeyTemplate
  readonly #resourceAttributes: ReadonlySet<string>
  readonly #batch: Batch
  #index = 0

  constructor({ template, resourceAttributes }: OtlpOptions, batch: Batch) {
    this.#template = template
    this.#resourceAttributes = new Set(resourceAttributes)
    this.#batch = batch
  }

  read(request: unknown): BodyFault {
    for (const resourceMetrics of messages(toMessage(request, 'the body'), 'resourceMetrics')) {
      const resource = toMessage(member(resourceMetrics, 'resource') ?? {}, 'resource')
      const ofResource = labelsOf(resource).filter(([name]) => this.#isShared(name))
      for (const scopeMetrics of messages(resourceMetrics, 'scopeMetrics')) {
        const scope = toMessage(member(scopeMetrics, 'scope') ?? {}, 'scope')
        const ofScope = [[SCOPE_NAME, toText(scope.name)] as const].filter(([name]) => this.#isShared(name))
        for (const metric of messages(scopeMetrics, 'metrics')) {
          this.#readMetric(metric, [...ofResource, ...ofScope])
          if (this.#batch.isTooLarge) return { kind: 'too-many' }
        }
      }
    }
    return undefined
  }

  #isShared(name: string): boolean {
    return this.#resourceAttributes.has(name) || this.#template.places(name)
  }

  #readMetric(metric: Message, shared: Labels): void {
    const name = toText(metric.name)
    let isKnown = false
    for (const [kind, read] of KINDS) {
      const given = member(metric, kind)
      if (given === undefined || given === null) continue
      isKnown = true
      const data = toMessage(given, kind)
      const temporality = member(data, 'aggregationTemporality')
      const isDelta = DELTA.has(temporality)
      const isCumulative = CUMULATIVE.has(temporality) || kind === 'summary'
      const isMonotonic = member(data, 'isMonotonic') === true
      for (const point of messages(data, 'dataPoints')) {
        this.#readPoint(point, { name, shared, kind, isDelta, isCumulative, isMonotonic }, read)
        if (this.#batch.isTooLarge) return
      }
    }
    if (!isKnown) this.#batch.skip('unsupported')
  }

  #readPoint(data: Message, metric: Metric, read: PointReader): void {
    const batch = this.#batch
    const place: Place = { index: this.#index++, metric: metric.name }
    if ((toNumber(data.flags) & NO_RECORDED_VALUE) !== 0) {
      batch.skip('stale')
      return
    }
    if (metric.name === '') {
      batch.reject(place, 'shape', 'the metric has no name')
      return
    }
    const own = labelsOf(data)
    const unplaced = this.#template.unplaced(own)
    if (unplaced !== undefined) {
      batch.reject(place, 'key', `OTLP_KEY has no place for the attribute ${quote(unplaced)}: add {tags} to it`)
      return
    }
    const time = timeOf(member(data, 'timeUnixNano'))
    const start = timeOf(member(data, 'startTimeUnixNano'))
    if (typeof time === 'string' || typeof start === 'string') {
      batch.reject(place, 'timestamp', `the time ${typeof time === 'string' ? time : start}`)
      return
    }
    const labels = merge(own, metric.shared)
    const keyOf = (suffix: string, label?: readonly [string, string]) =>
      this.#template.key([metric.name + suffix], label === undefined ? labels : [...labels, label])
    read(data, metric, {
      place,
      time,
      seconds: time !== undefined && start !== undefined && time > start ? (time - start) / 1000 : undefined,
      reject: problem => batch.reject(place, 'value', problem),
      add: (value, { suffix = '', isCounter = false, label } = {}) => {
        if (!Number.isFinite(value)) {
          batch.skip('not_finite')
          return
        }
        const key = keyOf(suffix, label)
        if (isCounter) batch.addCounterAt(key, value, time, place)
        else batch.addAt(key, value, time, place)
      },
      addTotal: (suffix, count, sum) => {
        if (Number.isFinite(sum)) batch.addTotal({ key: keyOf(suffix), ms: time, start, count, sum, place })
        else batch.skip('not_finite')
      },
    })
  }
}

interface Point {
  readonly place: Place
  /** Unix milliseconds; undefined without a time. */
  readonly time: number | undefined
  /** Since the start of the point; undefined without one. */
  readonly seconds: number | undefined
  readonly reject: (problem: string) => void
  readonly add: (
    value: number,
    how?: { readonly suffix?: string; readonly isCounter?: boolean; readonly label?: readonly [string, string] },
  ) => void
  /** Adds the mean of what came since the last point. */
  readonly addTotal: (suffix: string, count: number, sum: number) => void
}

type PointReader = (data: Message, metric: Metric, point: Point) => void

const NO_TEMPORALITY = 'aggregationTemporality must be 1 (delta) or 2 (cumulative)'

const readNumber: PointReader = (data, { kind, isDelta, isCumulative, isMonotonic }, { add, reject }) => {
  const given = member(data, 'asDouble') ?? member(data, 'asInt')
  const value = toNumber(given)
  if (given === undefined || given === null) reject('the point has neither asDouble nor asInt')
  else if (Number.isNaN(value) && given !== 'NaN' && !Number.isNaN(given)) reject('the value is not a number')
  else if (kind === 'sum' && isMonotonic && !isDelta && !isCumulative) reject(NO_TEMPORALITY)
  else add(value, { isCounter: kind === 'sum' && isMonotonic && isCumulative })
}

/** Also of exponential histograms: how values are spread over buckets is not scored. */
const readHistogram: PointReader = (data, { isDelta, isCumulative }, { add, addTotal, reject, seconds }) => {
  const count = toNumber(data.count ?? 0)
  const { sum } = data
  if (!(count >= 0)) reject('count must be an integer')
  else if (isCumulative) addCumulative(count, sum, { add, addTotal })
  else if (isDelta) {
    add(seconds === undefined ? count : count / seconds, { suffix: '.count' })
    if (count > 0 && sum !== undefined && sum !== null) add(toNumber(sum) / count, { suffix: '.mean' })
  } else reject(NO_TEMPORALITY)
}

const readSummary: PointReader = (data, _, { add, addTotal, reject }) => {
  const count = toNumber(data.count ?? 0)
  if (count >= 0) addCumulative(count, data.sum, { add, addTotal })
  else reject('count must be an integer')
  for (const one of messages(data, 'quantileValues')) {
    add(toNumber(one.value ?? 0), { label: ['quantile', String(toNumber(one.quantile ?? 0))] })
  }
}

function addCumulative(count: number, sum: unknown, { add, addTotal }: Pick<Point, 'add' | 'addTotal'>): void {
  add(count, { suffix: '.count', isCounter: true })
  if (sum !== undefined && sum !== null) addTotal('.mean', count, toNumber(sum))
}

const KINDS: readonly (readonly [name: string, read: PointReader])[] = [
  ['gauge', readNumber],
  ['sum', readNumber],
  ['histogram', readHistogram],
  ['exponentialHistogram', readHistogram],
  ['summary', readSummary],
]

/** Attributes of a point go before those of its resource, which are renamed where both have one. */
function merge(own: Labels, shared: Labels): Labels {
  if (shared.length === 0) return own
  const names = new Set(own.map(([name]) => name))
  return [...own, ...shared.map(([name, value]) => [names.has(name) ? `resource.${name}` : name, value] as const)]
}

/** Returns the attributes of a message as labels. Of two with one name the last counts. */
function labelsOf(message: Message): Labels {
  const attributes = messages(message, 'attributes')
  const labels = new Map<string, string>()
  for (const { key, value } of attributes) labels.set(toText(key), textOf(value, 0))
  return [...labels]
}

/** Returns the text of an `AnyValue`: of lists and objects as JSON. */
function textOf(value: unknown, depth: number): string {
  const plain = plainOf(value, depth)
  return typeof plain === 'object' ? JSON.stringify(plain) : String(plain)
}

function plainOf(value: unknown, depth: number): string | number | boolean | object {
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return ''
  const any = value as Message
  const text = member(any, 'stringValue') ?? member(any, 'bytesValue')
  if (typeof text === 'string') return text
  const number = member(any, 'intValue') ?? member(any, 'doubleValue')
  if (typeof number === 'string' || typeof number === 'number') return number
  const truth = member(any, 'boolValue')
  if (typeof truth === 'boolean') return truth
  const array = member(any, 'arrayValue')
  if (isMessage(array)) return messages(array, 'values').map(one => plainOf(one, depth + 1))
  const list = member(any, 'kvlistValue')
  if (!isMessage(list)) return ''
  return Object.fromEntries(messages(list, 'values').map(({ key, value }) => [toText(key), plainOf(value, depth + 1)]))
}

/** Returns Unix milliseconds, undefined for none, or what is wrong as the end of a sentence. */
function timeOf(nanoseconds: unknown): number | undefined | string {
  const ns = toNumber(nanoseconds ?? 0)
  if (ns === 0) return undefined
  if (Number.isNaN(ns)) return 'must be an integer of nanoseconds'
  if (ns < 0) return 'must not be before 1970'
  return Math.round(ns / NS_PER_MS)
}

/** Integers of 64 bits are texts in JSON, or numbers; so are values that are not finite. */
function toNumber(value: unknown): number {
  if (typeof value === 'number') return value
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function toMessage(value: unknown, name: string): Message {
  if (isMessage(value)) return value
  throw new ShapeFault(`${name} must be an object`)
}

function messages(message: Message, name: string): readonly Message[] {
  const list = member(message, name) ?? []
  if (!Array.isArray(list)) throw new ShapeFault(`${name} must be an array`)
  return list.map(one => toMessage(one, `an item of ${name}`))
}

const SNAKE_NAMES = new Map<string, string>()

/** Returns a member by its name in lowerCamelCase, or as the schema has it. */
function member(message: Message, name: string): unknown {
  const value = message[name]
  if (value !== undefined) return value
  let snake = SNAKE_NAMES.get(name)
  if (snake === undefined) {
    snake = name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
    SNAKE_NAMES.set(name, snake)
  }
  return message[snake]
}
