import { PbfReader } from 'pbf'
import { BYTES, checkEnd, FIXED64, readEnd, readTag, readText, skipField, VARINT, WireFault } from '../wire.ts'

/** Of attributes whose values are lists of lists. */
const DEPTH_MAX = 32

/** Reads the value of one field. */
interface FieldType {
  readonly wire: number
  read(pbf: PbfReader, end: number, depth: number): unknown
}

/** A field's name in JSON, its type, and whether it may be repeated. */
type Field = readonly [name: string, type: FieldType, isList?: boolean]

/** By number. */
type Fields = ReadonlyMap<number, Field>
type Entries = readonly (readonly [number, Field])[]

type Message = Record<string, unknown>

const double: FieldType = { wire: FIXED64, read: pbf => pbf.readDouble() }
/** A float64 has the time to 256 ns, which is rounded to milliseconds anyway. */
const fixed64: FieldType = { wire: FIXED64, read: pbf => pbf.readFixed64() }
const sfixed64: FieldType = { wire: FIXED64, read: pbf => pbf.readSFixed64() }
const int64: FieldType = { wire: VARINT, read: pbf => pbf.readVarint(true) }
const uint32: FieldType = { wire: VARINT, read: pbf => pbf.readVarint() }
const bool: FieldType = { wire: VARINT, read: pbf => pbf.readVarint() !== 0 }
const text: FieldType = { wire: BYTES, read: readText }

function message(fields: () => Fields): FieldType {
  return { wire: BYTES, read: (pbf, end, depth) => readMessage(pbf, fields(), end, depth + 1) }
}

/** Reads the fields that are known, into what JSON.parse would return for the same message. */
function readMessage(pbf: PbfReader, fields: Fields, end: number, depth: number): Message {
  if (depth > DEPTH_MAX) throw new WireFault(`messages are nested deeper than ${DEPTH_MAX}`)
  const result: Message = {}
  while (pbf.pos < end) {
    const tag = readTag(pbf)
    const wire = tag & 7
    const field = fields.get(tag >>> 3)
    if (field === undefined || field[1].wire !== wire) {
      skipField(pbf, wire, end)
      continue
    }
    const [name, type, isList] = field
    const value = type.read(pbf, wire === BYTES ? readEnd(pbf, end) : end, depth)
    if (isList !== true) result[name] = value
    else if (result[name] === undefined) result[name] = [value]
    else (result[name] as unknown[]).push(value)
  }
  checkEnd(pbf, end)
  return result
}

const KEY_VALUE: Fields = new Map<number, Field>([
  [1, ['key', text]],
  [2, ['value', message(() => ANY_VALUE)]],
])
const ANY_VALUE: Fields = new Map<number, Field>([
  [1, ['stringValue', text]],
  [2, ['boolValue', bool]],
  [3, ['intValue', int64]],
  [4, ['doubleValue', double]],
  [5, ['arrayValue', message(() => new Map<number, Field>([[1, ['values', message(() => ANY_VALUE), true]]]))]],
  [6, ['kvlistValue', message(() => new Map<number, Field>([[1, ['values', attribute, true]]]))]],
])
const attribute = message(() => KEY_VALUE)

const TIMES: Entries = [
  [2, ['startTimeUnixNano', fixed64]],
  [3, ['timeUnixNano', fixed64]],
]
const COUNT_AND_SUM: Entries = [
  [4, ['count', fixed64]],
  [5, ['sum', double]],
]

const NUMBER_POINT: Fields = new Map<number, Field>([
  ...TIMES,
  [4, ['asDouble', double]],
  [6, ['asInt', sfixed64]],
  [7, ['attributes', attribute, true]],
  [8, ['flags', uint32]],
])
const HISTOGRAM_POINT: Fields = new Map<number, Field>([
  ...TIMES,
  ...COUNT_AND_SUM,
  [9, ['attributes', attribute, true]],
  [10, ['flags', uint32]],
])
const EXPONENTIAL_POINT: Fields = new Map<number, Field>([
  ...TIMES,
  ...COUNT_AND_SUM,
  [1, ['attributes', attribute, true]],
  [10, ['flags', uint32]],
])
const QUANTILE: Fields = new Map<number, Field>([
  [1, ['quantile', double]],
  [2, ['value', double]],
])
const SUMMARY_POINT: Fields = new Map<number, Field>([
  ...TIMES,
  ...COUNT_AND_SUM,
  [6, ['quantileValues', message(() => QUANTILE), true]],
  [7, ['attributes', attribute, true]],
  [8, ['flags', uint32]],
])

function data(point: Fields): FieldType {
  const fields: Fields = new Map<number, Field>([
    [1, ['dataPoints', message(() => point), true]],
    [2, ['aggregationTemporality', uint32]],
    [3, ['isMonotonic', bool]],
  ])
  return message(() => fields)
}

const METRIC: Fields = new Map<number, Field>([
  [1, ['name', text]],
  [5, ['gauge', data(NUMBER_POINT)]],
  [7, ['sum', data(NUMBER_POINT)]],
  [9, ['histogram', data(HISTOGRAM_POINT)]],
  [10, ['exponentialHistogram', data(EXPONENTIAL_POINT)]],
  [11, ['summary', data(SUMMARY_POINT)]],
])
const SCOPE_METRICS: Fields = new Map<number, Field>([
  [1, ['scope', message(() => new Map<number, Field>([[1, ['name', text]]]))]],
  [2, ['metrics', message(() => METRIC), true]],
])
const RESOURCE_METRICS: Fields = new Map<number, Field>([
  [1, ['resource', message(() => new Map<number, Field>([[1, ['attributes', attribute, true]]]))]],
  [2, ['scopeMetrics', message(() => SCOPE_METRICS), true]],
])
const REQUEST: Fields = new Map<number, Field>([[1, ['resourceMetrics', message(() => RESOURCE_METRICS), true]]])

/**
 * Decodes an `ExportMetricsServiceRequest` of protobuf into what JSON.parse returns for the same
 * request, so that one reader serves both. Throws a WireFault, or what `wireReason` explains.
 */
export function decodeRequest(bytes: Buffer): unknown {
  return readMessage(new PbfReader(bytes), REQUEST, bytes.length, 0)
}
