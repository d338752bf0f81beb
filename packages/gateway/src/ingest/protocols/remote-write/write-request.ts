import { PbfReader } from 'pbf'
import type { Batch, BodyFault, Place } from '../../formats/batch.ts'
import { BYTES, checkEnd, readEnd, readTag, skipField, wireReason } from '../wire.ts'
import { isCounterByType, type MetricTypes } from './metric-types.ts'
import type { Series, SeriesIndex } from './series.ts'

/** Tags of `WriteRequest`, of `TimeSeries`, of `Sample` and of `MetricMetadata`. */
const TIME_SERIES = 0x0a
const METADATA = 0x1a
const LABEL = 0x0a
const SAMPLE = 0x12
const EXEMPLAR = 0x1a
const HISTOGRAM = 0x22
const SAMPLE_VALUE = 0x09
const SAMPLE_TIMESTAMP = 0x10
const METADATA_TYPE = 0x08
const METADATA_NAME = 0x12

/** The NaN that stands for "the series has ended", as two words. */
const STALE_HIGH = 0x7ff0_0000
const STALE_LOW = 2

const NO_TYPES: MetricTypes = new Map()

const NATIVE_HISTOGRAM =
  'native histograms are not supported: let the sender keep classic ones (scrape_classic_histograms), or set ' +
  'send_native_histograms: false'

/**
 * Reads a `prometheus.WriteRequest` of remote write 1.0. An index is that of a series. Series are
 * counters by the types that the request has; otherwise as `index` says.
 */
export function readWriteRequest(bytes: Buffer, index: SeriesIndex, batch: Batch): BodyFault {
  const reader = new WriteRequestReader(bytes, index, batch)
  try {
    return reader.read()
  } catch (error) {
    return { kind: 'malformed', reason: `the body is not a prometheus.WriteRequest: ${wireReason(error)}` }
  }
}

class WriteRequestReader {
  readonly #pbf: PbfReader
  readonly #bytes: Buffer
  readonly #index: SeriesIndex
  readonly #batch: Batch
  #types = NO_TYPES

  constructor(bytes: Buffer, index: SeriesIndex, batch: Batch) {
    this.#bytes = bytes
    this.#pbf = new PbfReader(bytes)
    this.#index = index
    this.#batch = batch
  }

  read(): BodyFault {
    const pbf = this.#pbf
    this.#types = this.#readTypes()
    pbf.pos = 0
    for (let series = 0; pbf.pos < pbf.length; ) {
      const tag = readTag(pbf)
      if (tag !== TIME_SERIES) {
        skipField(pbf, tag & 7, pbf.length)
        continue
      }
      this.#readSeries(readEnd(pbf, pbf.length), series++)
      if (this.#batch.isTooLarge) return { kind: 'too-many' }
    }
    checkEnd(pbf, pbf.length)
    return undefined
  }

  /** They are behind the series, if a request has any. */
  #readTypes(): MetricTypes {
    const pbf = this.#pbf
    let types: Map<string, number> | undefined
    while (pbf.pos < pbf.length) {
      const tag = readTag(pbf)
      if ((tag & 7) !== BYTES) {
        skipField(pbf, tag & 7, pbf.length)
        continue
      }
      const end = readEnd(pbf, pbf.length)
      if (tag === METADATA) {
        types ??= new Map()
        this.#readType(end, types)
      }
      pbf.pos = end
    }
    return types ?? NO_TYPES
  }

  #readType(end: number, types: Map<string, number>): void {
    const pbf = this.#pbf
    let type = 0
    let name = ''
    while (pbf.pos < end) {
      const tag = readTag(pbf)
      if (tag === METADATA_TYPE) type = pbf.readVarint()
      else if (tag === METADATA_NAME) {
        const nameEnd = readEnd(pbf, end)
        name = this.#bytes.toString('utf8', pbf.pos, nameEnd)
        pbf.pos = nameEnd
      } else skipField(pbf, tag & 7, end)
    }
    checkEnd(pbf, end)
    types.set(name, type)
  }

  #readSeries(end: number, index: number): void {
    const pbf = this.#pbf
    const labelsStart = pbf.pos
    let labelsEnd = labelsStart
    let tag = 0
    while (pbf.pos < end) {
      tag = readTag(pbf)
      if (tag !== LABEL) break
      pbf.pos = readEnd(pbf, end)
      labelsEnd = pbf.pos
    }
    const series = this.#index.find(pbf, labelsStart, labelsEnd, this.#batch)
    const isCounter = this.#isCounter(series)
    const place: Place = { index }
    pbf.pos = labelsEnd
    while (pbf.pos < end) {
      tag = readTag(pbf)
      if (tag === SAMPLE) this.#readSample(readEnd(pbf, end), series, isCounter, place)
      else if (tag === HISTOGRAM) {
        this.#addOther(series, place)
        pbf.pos = readEnd(pbf, end)
      } else if (tag === EXEMPLAR) {
        this.#batch.skip('unsupported')
        pbf.pos = readEnd(pbf, end)
      } else if (tag === LABEL) {
        this.#batch.reject(place, 'shape', 'labels must precede samples')
        pbf.pos = end
      } else skipField(pbf, tag & 7, end)
    }
    checkEnd(pbf, end)
  }

  #isCounter(series: Series): boolean {
    if (series.kind !== 'taken') return false
    if (series.isRuled || this.#types.size === 0) return series.isCounter
    return isCounterByType(series.name, this.#types) ?? series.isCounter
  }

  #addOther(series: Series, place: Place): void {
    if (series.kind === 'denied') this.#batch.skip('denied')
    else this.#batch.reject(place, 'shape', NATIVE_HISTOGRAM)
  }

  #readSample(end: number, series: Series, isCounter: boolean, place: Place): void {
    const pbf = this.#pbf
    const batch = this.#batch
    // Zeros are left out.
    let value = 0
    let valueAt = -1
    let timestamp = 0
    while (pbf.pos < end) {
      const tag = readTag(pbf)
      if (tag === SAMPLE_VALUE) {
        valueAt = pbf.pos
        value = pbf.readDouble()
      } else if (tag === SAMPLE_TIMESTAMP) timestamp = pbf.readVarint(true)
      else skipField(pbf, tag & 7, end)
    }
    checkEnd(pbf, end)
    if (series.kind === 'denied') batch.skip('denied')
    else if (!Number.isFinite(value)) batch.skip(this.#isStale(valueAt) ? 'stale' : 'not_finite')
    else if (series.kind === 'rejected') batch.reject(place, series.rule, series.problem)
    else if (timestamp < 0) batch.reject(place, 'timestamp', 'the timestamp must not be before 1970')
    else if (timestamp > TIME_MAX) batch.reject(place, 'timestamp', 'the timestamp is beyond the year 275760')
    else batch.addChecked(series.key, value, timestamp === 0 ? undefined : timestamp, isCounter, place)
  }

  #isStale(at: number): boolean {
    return this.#bytes.readUInt32LE(at) === STALE_LOW && this.#bytes.readUInt32LE(at + 4) === STALE_HIGH
  }
}

/** The latest time of a Date, in Unix milliseconds. */
const TIME_MAX = 8.64e15
