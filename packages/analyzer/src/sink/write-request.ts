import type { Labels } from '@tidemark/shared/sample/key-template'
import { PbfWriter } from 'pbf'
import { compress } from 'snappyjs'
import { type KeyLabelOptions, labelsOf } from './key-labels.ts'
import { POINT_METRICS, type Point } from './point.ts'

/** What a request says of its content. */
export const WRITE_HEADERS = {
  'content-type': 'application/x-protobuf',
  'content-encoding': 'snappy',
  'x-prometheus-remote-write-version': '0.1.0',
} as const

const NAME_LABEL = '__name__'

/** Fields of WriteRequest, TimeSeries, Label and Sample. */
const TIME_SERIES = 1
const LABEL = 1
const SAMPLE = 2
const FIRST = 1
const SECOND = 2

/** Encodes points as the body of a request of remote write 1.0. */
export function encodePoints(points: readonly Point[], options: KeyLabelOptions): Uint8Array<ArrayBuffer> {
  const pbf = new PbfWriter()
  for (const point of points) {
    const labels = labelsOf(point.key, options)
    // By code units: upper case comes before an underscore.
    const before = labels.filter(([name]) => name < NAME_LABEL)
    const after = labels.slice(before.length)
    for (const name of POINT_METRICS) {
      const value = point.values[name]
      if (value === undefined) continue
      const all: Labels = [...before, [NAME_LABEL, name], ...after]
      pbf.writeMessage(TIME_SERIES, writeSeries, { labels: all, value, timestamp: point.timestamp })
    }
  }
  return new Uint8Array(compress(Buffer.from(pbf.finish())))
}

function writeSeries(
  { labels, value, timestamp }: { readonly labels: Labels; readonly value: number; readonly timestamp: number },
  pbf: PbfWriter,
): void {
  for (const label of labels) pbf.writeMessage(LABEL, writeLabel, label)
  pbf.writeMessage(SAMPLE, writeSample, [value, timestamp])
}

function writeLabel([name, value]: Labels[number], pbf: PbfWriter): void {
  pbf.writeStringField(FIRST, name)
  pbf.writeStringField(SECOND, value)
}

function writeSample([value, timestamp]: readonly [number, number], pbf: PbfWriter): void {
  pbf.writeDoubleField(FIRST, value)
  pbf.writeVarintField(SECOND, Math.round(timestamp))
}
