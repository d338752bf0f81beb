import { ENDED_SESSIONS_MAX } from '@tidemark/shared/store/ports/sessions'
import { describe, expect, test } from 'vitest'
import { LONG_MS, type OpenStore } from './harness.ts'

export function describeSessions(open: OpenStore): void {
  describe('sessions', () => {
    test('are signed with the secret that was stored first', async () => {
      await using under = await open()
      await using other = await under.connect()
      expect(await under.store.sessions.load('one')).toEqual({ secret: 'one', ended: [] })
      expect(await other.sessions.load('two')).toEqual({ secret: 'one', ended: [] })
    })

    test('are ended for every gateway, each once', async () => {
      await using under = await open()
      await using other = await under.connect()
      const expiresAt = Date.now() + LONG_MS
      await under.store.sessions.end('a', expiresAt)
      await under.store.sessions.end('a', expiresAt)
      await other.sessions.end('b', expiresAt)
      const { ended } = await other.sessions.load('one')
      expect(ended.toSorted()).toEqual(['a', 'b'])
    })

    test('are remembered as ended up to a limit, those that expire last', async () => {
      await using under = await open()
      const begin = Date.now() + LONG_MS
      for (let i = 0; i <= ENDED_SESSIONS_MAX; i++) await under.store.sessions.end(`s${i}`, begin + i)
      const { ended } = await under.store.sessions.load('one')
      expect(ended).toHaveLength(ENDED_SESSIONS_MAX)
      expect(ended).not.toContain('s0')
    })
  })
}
