import type { AuditIntent } from '@tidemark/shared/access/audit-record'
import { entryTimeMs } from '@tidemark/shared/sample/receipt'
import { describe, expect, test } from 'vitest'
import type { OpenStore } from './harness.ts'

function intent(subject: string | null = 'edge-cpu'): AuditIntent {
  const by = { who: 'ada ☃ "x"', keyId: 'k7', via: 'api-key', address: '2001:db8::7' }
  return { ...by, method: 'PUT', route: '/rules/:id', action: 'putRule', subject }
}

export function describeAudit(open: OpenStore): void {
  describe('the audit log', () => {
    test('is empty at first', async () => {
      await using under = await open()
      expect(await under.store.audit.list({ count: 10 })).toEqual([])
    })

    test('has what is begun, for every process, and its result once that is known', async () => {
      await using under = await open()
      await using other = await under.connect()
      const first = await under.store.audit.begin(intent())
      const second = await other.audit.begin(intent(null))
      expect(entryTimeMs(first)).toBeGreaterThan(1.7e12)
      const begun = [
        { ...intent(null), id: second, result: null },
        { ...intent(), id: first, result: null },
      ]
      expect(await other.audit.list({ count: 10 })).toEqual(begun)
      const result = { status: 200, subject: 'a', before: '{"threshold":3}', after: '☃' }
      await other.audit.end(first, result)
      await under.store.audit.end(second, { status: 404, before: undefined })
      const ended = await under.store.audit.list({ count: 10 })
      expect(ended).toEqual([
        { ...intent(null), id: second, result: { status: 404 } },
        { ...intent(), id: first, result },
      ])
    })

    test('is read by page, newest first, from any id on', async () => {
      await using under = await open()
      const { audit } = under.store
      const ids: string[] = []
      for (let i = 0; i < 5; i++) ids.push(await audit.begin(intent(String(i))))
      const subjects = async (range: { before?: string | undefined; count: number }) =>
        (await audit.list(range)).map(({ subject }) => subject)
      expect(await subjects({ count: 2 })).toEqual(['4', '3'])
      expect(await subjects({ before: ids[3], count: 2 })).toEqual(['2', '1'])
      expect(await subjects({ before: ids[0], count: 2 })).toEqual([])
      expect(await subjects({ before: '1-0', count: 2 })).toEqual([])
      expect(await subjects({ before: '9999999999999999-0', count: 1 })).toEqual(['4'])
    })

    test('keeps the newest records; a result of one that is gone has no effect', async () => {
      await using under = await open()
      const { audit } = under.store
      const { auditMax } = under.limits
      const first = await audit.begin(intent('first'))
      await audit.end(first, { status: 200 })
      for (let i = 0; i < auditMax + 3; i++) await audit.begin(intent(String(i)))
      await audit.end(first, { status: 200 })
      const kept = await audit.list({ count: 1000 })
      expect(kept).toHaveLength(auditMax)
      expect(kept.at(-1)?.subject).toBe('3')
      expect(kept.filter(({ result }) => result !== null)).toEqual([])
    })
  })
}
