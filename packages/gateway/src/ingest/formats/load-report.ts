import { LOAD_KEYS } from '@tidemark/shared/sample/load-keys'
import { z } from 'zod'
import type { Batch, Place } from './batch.ts'
import { rejectShape, timestampField, valueField } from './fields.ts'

/** `{"timestamp": 1700000000, "cpu": 12.5, "rps": 420}`: the legacy load-report body. */
export const loadReportSchema = z
  .strictObject(
    { timestamp: timestampField, cpu: valueField.optional(), rps: valueField.optional() },
    { error: 'must be an object' },
  )
  .meta({ description: 'CPU and requests a second. Their keys are `default/cpu` and `default/rps`.' })

export function readLoadReport(item: unknown, place: Place, batch: Batch): void {
  const result = loadReportSchema.safeParse(item)
  if (!result.success) {
    rejectShape(batch, place, { item, error: result.error })
    return
  }
  const { timestamp, cpu, rps } = result.data
  if (cpu !== undefined) batch.add({ key: LOAD_KEYS.cpu, value: cpu, timestamp }, place)
  if (rps !== undefined) batch.add({ key: LOAD_KEYS.rps, value: rps, timestamp }, place)
}
