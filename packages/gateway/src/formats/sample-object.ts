import { z } from 'zod'
import type { Batch, Place } from './batch.ts'
import { keyField, rejectShape, timestampField, valueField } from './fields.ts'

/** `{"key": "edge-17/rps", "value": 420, "timestamp": 1700000000}`. Strict: a misspelt member must not vanish. */
export const sampleSchema = z
  .strictObject({ key: keyField, value: valueField, timestamp: timestampField }, { error: 'must be an object' })
  .meta({ description: 'One measurement of one key.' })

export function readSample(item: unknown, place: Place, batch: Batch): void {
  const result = sampleSchema.safeParse(item)
  if (result.success) batch.add(result.data, place)
  else rejectShape(batch, place, result.error)
}
