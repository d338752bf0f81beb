import type { Labels } from '@tidemark/shared/sample/key-template'
import type { z } from 'zod'
import type { SkipReason } from '../../../metrics.ts'
import { type Batch, type Place, quote, type RawSample } from '../batch.ts'
import { rejectShape } from '../fields.ts'

/** What agents send: several fields of one source at one time. */
export interface Metric {
  readonly measurement: string
  readonly tags: Labels
  readonly fields: Iterable<readonly [name: string, value: unknown]>
  readonly timestamp: RawSample['timestamp']
}

export type Reader = (item: unknown, place: Place, batch: Batch) => void

/** Returns a reader of items; `toMetric` returns the metric of one, or why it has none. */
export function readerOf<T extends z.ZodType>(
  schema: T,
  toMetric: (item: z.output<T>, written: object) => Metric | SkipReason,
): Reader {
  return (item, place, batch) => {
    const result = schema.safeParse(item)
    if (!result.success) {
      rejectShape(batch, place, { item, error: result.error })
      return
    }
    const metric = toMetric(result.data, item as object)
    if (typeof metric === 'string') batch.skip(metric)
    else addMetric(metric, place, batch)
  }
}

/**
 * Adds a sample for each number and boolean among the fields; other values are skipped by reason.
 * The key is made by INFLUX_KEY.
 */
function addMetric({ measurement, tags, fields, timestamp }: Metric, place: Place, batch: Batch): void {
  const unplaced = batch.template.unplaced(tags)
  if (unplaced !== undefined) {
    const problem = `INFLUX_KEY has no place for the tag ${quote(unplaced)}: add {tags} to it, or drop the tag`
    batch.reject(place, 'key', problem)
    return
  }
  const open = batch.template.open([measurement], tags)
  for (const [name, given] of fields) {
    const value = toNumber(given)
    const metric = place.metric === undefined ? name : `${place.metric}.${name}`
    if (typeof value !== 'number') batch.skip(value)
    else batch.add({ key: batch.template.close(open, name), value, timestamp }, { index: place.index, metric })
  }
}

/** Returns the number that a field has, or why it has none. */
function toNumber(value: unknown): number | SkipReason {
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value === null) return 'null'
  return typeof value === 'string' ? 'text' : 'nested'
}

/** Returns members as tags, without those that have no value. */
export function tagsOf(members: Readonly<Record<string, unknown>> | Labels | null | undefined): Labels {
  const entries = Array.isArray(members) ? (members as Labels) : Object.entries(members ?? {})
  return entries.flatMap(([name, value]) => (value === null || value === '' ? [] : [[name, String(value)] as const]))
}
