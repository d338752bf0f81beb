import { PbfWriter } from 'pbf'

type Json = Readonly<Record<string, unknown>>

/** By member of the JSON form: the number of its field, and how it is written. */
type Numbers = Readonly<Record<string, readonly [number, string | (() => Numbers)]>>

const ANY_VALUE: Numbers = {
  stringValue: [1, 'String'],
  boolValue: [2, 'Boolean'],
  intValue: [3, 'Varint'],
  doubleValue: [4, 'Double'],
  arrayValue: [5, () => ({ values: [1, () => ANY_VALUE] })],
  kvlistValue: [6, () => ({ values: [1, () => ATTRIBUTE] })],
}
const ATTRIBUTE: Numbers = { key: [1, 'String'], value: [2, () => ANY_VALUE] }
const TIMES: Numbers = { startTimeUnixNano: [2, 'Fixed64'], timeUnixNano: [3, 'Fixed64'] }
const COUNT: Numbers = { count: [4, 'Fixed64'], sum: [5, 'Double'] }
const NUMBER: Numbers = {
  ...TIMES,
  asDouble: [4, 'Double'],
  asInt: [6, 'SFixed64'],
  attributes: [7, () => ATTRIBUTE],
  flags: [8, 'Varint'],
  unknown: [99, 'String'],
}
const HISTOGRAM: Numbers = { ...TIMES, ...COUNT, attributes: [9, () => ATTRIBUTE], flags: [10, 'Varint'] }
const EXPONENTIAL: Numbers = { ...TIMES, ...COUNT, attributes: [1, () => ATTRIBUTE], flags: [10, 'Varint'] }
const SUMMARY: Numbers = {
  ...TIMES,
  ...COUNT,
  quantileValues: [6, () => ({ quantile: [1, 'Double'], value: [2, 'Double'] })],
  attributes: [7, () => ATTRIBUTE],
  flags: [8, 'Varint'],
}
const data = (points: Numbers) => (): Numbers => ({
  dataPoints: [1, () => points],
  aggregationTemporality: [2, 'Varint'],
  isMonotonic: [3, 'Boolean'],
})
const METRIC: Numbers = {
  name: [1, 'String'],
  description: [2, 'String'],
  unit: [3, 'String'],
  gauge: [5, data(NUMBER)],
  sum: [7, data(NUMBER)],
  histogram: [9, data(HISTOGRAM)],
  exponentialHistogram: [10, data(EXPONENTIAL)],
  summary: [11, data(SUMMARY)],
}
const REQUEST: Numbers = {
  resourceMetrics: [
    1,
    () => ({
      resource: [1, () => ({ attributes: [1, () => ATTRIBUTE] })],
      scopeMetrics: [
        2,
        () => ({ scope: [1, () => ({ name: [1, 'String'] })], metrics: [2, () => METRIC], schemaUrl: [3, 'String'] }),
      ],
    }),
  ],
}

function write(message: Json, numbers: Numbers, pbf: PbfWriter): void {
  for (const [name, value] of Object.entries(message)) {
    const field = numbers[name]
    if (field === undefined) throw new Error(`no field ${name}`)
    const [number, type] = field
    for (const one of Array.isArray(value) ? value : [value]) {
      if (typeof type === 'function') pbf.writeMessage(number, (_, inner) => write(one, type(), inner), undefined)
      else if (type === 'String') pbf.writeStringField(number, one)
      else if (type === 'Boolean') pbf.writeBooleanField(number, one)
      else if (type === 'Varint') pbf.writeVarintField(number, Number(one))
      else if (type === 'Double') pbf.writeDoubleField(number, Number(one))
      else if (type === 'SFixed64') pbf.writeSFixed64Field(number, Number(one))
      else pbf.writeFixed64Field(number, Number(one))
    }
  }
}

/** Encodes an ExportMetricsServiceRequest, given as JSON, in protobuf. */
export function encodeMetrics(request: Json): Buffer<ArrayBuffer> {
  const pbf = new PbfWriter()
  write(request, REQUEST, pbf)
  return Buffer.from(pbf.finish())
}

/** Returns attributes of texts in the form of OTLP. */
export function attributes(values: Readonly<Record<string, string>>): readonly Json[] {
  return Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }))
}

/** Returns a request of metrics of one resource. */
export function metricsOf(metrics: readonly Json[], resource: Readonly<Record<string, string>> = {}): Json {
  return {
    resourceMetrics: [
      { resource: { attributes: attributes(resource) }, scopeMetrics: [{ scope: { name: 'test' }, metrics }] },
    ],
  }
}
