import type { ProcessReport, ProcessStore } from '../ports/processes.ts'
import { withStoreErrors } from './errors.ts'
import type { StoreContext } from './scripts.ts'

export function createProcessStore({ client, keys: { processes } }: StoreContext): ProcessStore {
  return withStoreErrors<ProcessStore>({
    async report({ name, instance, content }, ttlMs) {
      const reply = (await client.reportProcess(processes, name, instance, ttlMs, content)) as string[] | null
      return reply === null ? undefined : toReports(reply)
    },
    async withdraw(name) {
      await client.hdel(processes, name)
    },
  })
}

function toReports(reply: readonly string[]): ProcessReport[] {
  const reports: ProcessReport[] = []
  for (let i = 0; i < reply.length; i += 3) {
    const [name = '', instance = '', content = ''] = reply.slice(i, i + 3)
    reports.push({ name, instance, content })
  }
  return reports.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}
