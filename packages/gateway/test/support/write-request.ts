import { PbfWriter } from 'pbf'
import { compress } from 'snappyjs'

/** What `encodeWriteRequest` writes, as Prometheus has it: zeros are left out. */
export interface SentSeries {
  readonly labels: Readonly<Record<string, string>> | readonly (readonly [string, string])[]
  readonly samples?: readonly (readonly [value: number, timestamp: number])[]
  readonly exemplars?: number
  readonly histograms?: number
}

export interface SentRequest {
  readonly series?: readonly SentSeries[]
  /** Types by the name of the family. */
  readonly types?: Readonly<Record<string, number>>
}

/** Encodes a `prometheus.WriteRequest`. */
export function encodeWriteRequest({ series = [], types = {} }: SentRequest): Buffer {
  const pbf = new PbfWriter()
  for (const one of series) pbf.writeMessage(1, writeSeries, one)
  for (const [name, type] of Object.entries(types)) {
    pbf.writeMessage(
      3,
      (_, inner) => {
        inner.writeVarintField(1, type)
        inner.writeStringField(2, name)
        inner.writeStringField(4, 'help')
      },
      undefined,
    )
  }
  return Buffer.from(pbf.finish())
}

function writeSeries({ labels, samples = [], exemplars = 0, histograms = 0 }: SentSeries, pbf: PbfWriter): void {
  const pairs = Array.isArray(labels) ? (labels as [string, string][]) : Object.entries(labels)
  for (const [name, value] of pairs) {
    pbf.writeMessage(
      1,
      (_, inner) => {
        inner.writeStringField(1, name)
        inner.writeStringField(2, value)
      },
      undefined,
    )
  }
  for (const [value, timestamp] of samples) {
    pbf.writeMessage(
      2,
      (_, inner) => {
        if (value !== 0 || Object.is(value, -0)) inner.writeDoubleField(1, value)
        if (timestamp !== 0) inner.writeVarintField(2, timestamp)
      },
      undefined,
    )
  }
  for (let i = 0; i < exemplars; i++) pbf.writeMessage(3, (_, inner) => inner.writeDoubleField(2, 1), undefined)
  for (let i = 0; i < histograms; i++) pbf.writeMessage(4, (_, inner) => inner.writeVarintField(1, 5), undefined)
}

/** Compresses bytes as one block of snappy. */
export function snappy(bytes: Uint8Array): Buffer<ArrayBuffer> {
  return Buffer.from(compress(Buffer.from(bytes)))
}

/** The NaN of Prometheus for "the series has ended" is written by its bits. */
export function withStaleMarkers(request: Buffer, marker: number): Buffer {
  const bytes = Buffer.from(request)
  const wanted = Buffer.alloc(8)
  wanted.writeDoubleLE(marker)
  const stale = Buffer.from([2, 0, 0, 0, 0, 0, 0xf0, 0x7f])
  for (let at = bytes.indexOf(wanted); at !== -1; at = bytes.indexOf(wanted, at + 8)) stale.copy(bytes, at)
  return bytes
}
