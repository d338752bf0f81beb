import { describe, expect, test } from 'vitest'
import { LONG_MS, type OpenStore } from './harness.ts'

const TTL_MS = 1000
const PAST_TTL_MS = 1200

export function describeProcesses(open: OpenStore): void {
  describe('processes', () => {
    const one = { name: 'one', instance: '1', content: '{"a":"ü 1"}' }
    const two = { name: 'two', instance: '2', content: '' }

    test('are reported to all, in order of name, until they withdraw', async () => {
      await using under = await open()
      await using other = await under.connect()
      expect(await under.store.processes.report(two, LONG_MS)).toEqual([two])
      expect(await other.processes.report(one, LONG_MS)).toEqual([one, two])
      const changed = { ...two, content: 'b' }
      expect(await under.store.processes.report(changed, LONG_MS)).toEqual([one, changed])
      await other.processes.withdraw('one')
      expect(await under.store.processes.report(changed, LONG_MS)).toEqual([changed])
    })

    test('hold their name alone until their reports stop', async () => {
      await using under = await open()
      await using other = await under.connect()
      const again = { ...one, instance: '3' }
      await under.store.processes.report(one, TTL_MS)
      expect(await other.processes.report(again, TTL_MS)).toBeUndefined()
      expect(await other.processes.report(two, LONG_MS)).toEqual([one, two])
      await under.probe.advanceTime(PAST_TTL_MS)
      expect(await other.processes.report(two, LONG_MS)).toEqual([two])
      expect(await other.processes.report(again, LONG_MS)).toEqual([again, two])
      expect(await under.store.processes.report(one, TTL_MS)).toBeUndefined()
    })
  })
}
