import type { AuditStore } from '../ports/audit.ts'
import type { Data } from './data.ts'
import { indexAfter } from './log.ts'

export function auditOn({ audit, auditMax, now }: Data): AuditStore {
  return {
    begin: async intent => audit.add({ intent: structuredClone(intent), result: null }, now(), auditMax),
    async end(id, result) {
      const record = audit.find(id)
      // Through JSON, as in Redis: without members that are undefined.
      if (record !== undefined) record.result = JSON.parse(JSON.stringify(result))
    },
    async list({ before, count }) {
      const upTo = before === undefined ? audit.entries.length : indexAfter(audit.entries, before)
      const records = audit.entries.slice(0, upTo).filter(({ id }) => id !== before)
      return structuredClone(
        records
          .reverse()
          .slice(0, count)
          .map(({ id, intent, result }) => ({ ...intent, id, result })),
      )
    },
  }
}
