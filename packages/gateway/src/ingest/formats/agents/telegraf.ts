import type { Batch, Place } from '../batch.ts'
import { rejectShape } from '../fields.ts'
import { readerOf, tagsOf } from './metric.ts'
import { telegrafBatchSchema, telegrafSchema } from './schemas.ts'

/** `{"metrics": [...]}`, whose items are not reports of devices or samples. */
export function isMetrics(item: object): boolean {
  const { metrics } = item as { metrics: unknown }
  return Array.isArray(metrics) && metrics.every(one => typeof one !== 'object' || one === null || !isOurs(one))
}

function isOurs(one: object): boolean {
  return Object.hasOwn(one, 'key') || Object.hasOwn(one, 'device')
}

/** Reads a batch of metrics. */
export function readMetrics(item: unknown, { index }: Place, batch: Batch): void {
  const result = telegrafBatchSchema.safeParse(item)
  if (!result.success) {
    rejectShape(batch, { index }, { item, error: result.error })
    return
  }
  for (const [i, metric] of result.data.metrics.entries()) {
    if (batch.isTooLarge) return
    readMetric(metric, { index, metric: `metrics[${i}]` }, batch)
  }
}

export const readMetric = readerOf(telegrafSchema, ({ name, tags, fields, timestamp }) => {
  return { measurement: name, tags: tagsOf(tags), fields: Object.entries(fields), timestamp }
})
