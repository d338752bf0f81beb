import { z } from '@hono/zod-openapi'
import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { STATES } from '@tidemark/shared/verdict/analysis'
import { cursorMember, keyMember, timeMember } from '../http/documentation.ts'

const keyAlertSchema = z.strictObject({ id: z.string(), severity: z.enum(SEVERITIES), opened_at: timeMember })

export const keyRowSchema = z
  .strictObject({
    key: keyMember,
    state: z.enum(STATES),
    value: z.number(),
    z: z.number().nullable(),
    low: z.number().nullable(),
    high: z.number().nullable(),
    timestamp: timeMember,
    analyzed_at: timeMember,
    count: z.int().min(0),
    rate: z.number().nullable().describe('Samples per second; null until two readings are available.'),
    alert: keyAlertSchema.nullable().describe('The firing alert of the key.'),
    values: z.array(z.number()).optional().describe('The newest values of its window, oldest first; with `values`.'),
  })
  .openapi('KeyRow', { description: 'A key by its newest analysis.' })

export const keysPageSchema = z
  .strictObject({
    keys: z.array(keyRowSchema),
    total: z.int().min(0).describe('Keys that pass the filters.'),
    as_of: timeMember.describe('When the keys were read. With many keys that is several seconds ago.'),
    cursor: cursorMember,
  })
  .openapi('KeysPage')

const count = z.int().min(0)

export const overviewSchema = z
  .strictObject({
    as_of: timeMember,
    keys: z
      .strictObject({
        total: count,
        alerting: count.describe('Keys with a firing alert.'),
        anomalous: count,
        warming: count,
        flat: count,
        ok: count,
      })
      .describe('By their newest analyses; of an API key that is bound to a prefix, only its own.'),
    worst: z
      .strictObject({ key: keyMember, since: timeMember, z: z.number().nullable(), value: z.number() })
      .nullable()
      .describe('The key with the most severe firing alert; null if none fires.'),
    latency_p95_ms: z
      .number()
      .nullable()
      .describe('From the arrival of a sample to its verdict, of keys analysed in the last minute; null for none.'),
    pipeline: z
      .strictObject({
        samples_per_s: z.number().nullable().describe('Accepted; null until it is measured.'),
        analysed_per_s: z.number().nullable(),
        backlog: count.describe('Samples accepted and not yet analysed.'),
        lost: count,
        partitions: z.array(
          z.strictObject({
            partition: count,
            owner: z.string().nullable().describe('The analyzer that works on it; null for none.'),
            accepted: count,
            analysed: count,
            dead: count,
            backlog: z.int(),
            applied_at: timeMember.nullable().describe('When the last analysed entry was accepted.'),
          }),
        ),
        requests_per_s: z.number().nullable().describe('Of this gateway.'),
        errors_per_s: z.number().nullable().describe('Responses of this gateway with a status of 500 or more.'),
        store: z
          .strictObject({ used_bytes: z.number(), max_bytes: z.number().describe('0: no limit.') })
          .nullable()
          .describe('Memory of Redis, of the fullest node; null where that is unknown.'),
        warnings: z.array(z.string()).describe('What an operator should fix, as in /readyz.'),
      })
      .nullable()
      .describe('Null for an API key that is bound to a prefix.'),
  })
  .openapi('Overview')
