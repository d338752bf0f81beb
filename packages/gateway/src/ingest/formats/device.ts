import { devicePrefix } from '@tidemark/shared/sample/device-key'
import { z } from 'zod'
import type { Batch, Place } from './batch.ts'
import { must, numberProblem, rejectShape, timestampField, valueField } from './fields.ts'

/**
 * `{"device": "edge-17", "timestamp": 1700000000, "metrics": {"rps": 420, "cpu": 12.5}}`: the keys
 * are `edge-17/rps` and `edge-17/cpu`. `metrics` is not a z.record, which drops a metric named
 * `__proto__` and fails as a whole for one bad metric.
 */
export const deviceSchema = z
  .strictObject(
    {
      device: z
        .string(must('a string'))
        .min(1, 'must not be empty')
        .meta({ examples: ['edge-17'] }),
      timestamp: timestampField,
      metrics: z.custom<Record<string, unknown>>(isObject, 'must be an object').meta({
        type: 'object',
        additionalProperties: { type: 'number' },
        minProperties: 1,
        examples: [{ rps: 420, cpu: 12.5 }],
      }),
    },
    { error: 'must be an object' },
  )
  .meta({
    description:
      'Several metrics of one device at one time. Their keys are `device/metric`; a slash in the name of the device is ' +
      'written %2F.',
  })

/** Validates each metric by itself: a failing sensor must not suppress the others. */
export function readDevice(item: unknown, { index }: Place, batch: Batch): void {
  const result = deviceSchema.safeParse(item)
  if (!result.success) {
    rejectShape(batch, { index }, { item, error: result.error })
    return
  }
  const { device, timestamp, metrics } = result.data
  const prefix = devicePrefix(device)
  const names = Object.keys(metrics)
  if (names.length === 0) batch.reject({ index }, 'shape', 'metrics must not be empty')
  for (const name of names) {
    const place = { index, metric: name }
    const value = valueField.safeParse(metrics[name])
    if (!value.success) batch.reject(place, 'value', `value ${numberProblem(metrics[name])}`)
    else if (name === '') batch.reject(place, 'key', 'name must not be empty')
    else batch.add({ key: `${prefix}${name}`, value: value.data, timestamp }, place)
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
