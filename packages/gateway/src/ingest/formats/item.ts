import { AGENT_READERS } from './agents/readers.ts'
import { isMetrics, readMetrics } from './agents/telegraf.ts'
import type { Batch, Place } from './batch.ts'
import { readDevice } from './device.ts'
import { readLoadReport } from './load-report.ts'
import { readSample } from './sample-object.ts'

/** Reads one item of a body. */
export function readItem(item: unknown, index: number, batch: Batch): void {
  readerOf(item)(item, { index }, batch)
}

/** Recognizes an item by its members. One of no known format is validated as a sample. */
function readerOf(item: unknown): (item: unknown, place: Place, batch: Batch) => void {
  if (typeof item !== 'object' || item === null || Object.hasOwn(item, 'key')) return readSample
  if (Object.hasOwn(item, 'device')) return readDevice
  if (Object.hasOwn(item, 'metrics')) return isMetrics(item) ? readMetrics : readDevice
  for (const [member, reader] of AGENT_READERS) if (Object.hasOwn(item, member)) return reader
  if (Object.hasOwn(item, 'cpu') || Object.hasOwn(item, 'rps')) return readLoadReport
  return readSample
}
