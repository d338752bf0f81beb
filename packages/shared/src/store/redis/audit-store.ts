import { parseAuditIntent, parseAuditResult } from '../../access/audit-record.ts'
import type { AuditStore } from '../ports/audit.ts'
import { withStoreErrors } from './errors.ts'
import { readNewest } from './newest.ts'
import { toFields } from './replies.ts'
import type { StoreContext } from './scripts.ts'

export function createAuditStore({ client, keys: { auditLog, auditResults }, options }: StoreContext): AuditStore {
  return withStoreErrors<AuditStore>({
    begin: async intent =>
      String(await client.beginAudit(auditLog, auditResults, JSON.stringify(intent), options.auditMax)),

    async end(id, result) {
      await client.endAudit(auditLog, auditResults, id, JSON.stringify(result))
    },

    async list({ before, count }) {
      const from = before === undefined ? '+' : `(${before}`
      const pick = ([id, fields]: readonly [string, readonly string[]]) => {
        const intent = parseAuditIntent(toFields(fields).get('r') ?? '')
        if (intent !== undefined) return { ...intent, id }
        options.onFailure(new Error(`the stored audit record ${id} cannot be read; it is left out`))
        return undefined
      }
      const records = await readNewest(client, auditLog, count, pick, from)
      if (records.length === 0) return []
      const results = await client.hmget(auditResults, ...records.map(({ id }) => id))
      return records.map((record, i) => ({ ...record, result: parseAuditResult(results[i] ?? '') ?? null }))
    },
  })
}
