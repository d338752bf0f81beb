import { Presence } from '@tidemark/shared/fleet/presence'
import { digestSetting, disagreementsIn, encodeSettings } from '@tidemark/shared/fleet/settings-report'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { ProcessStore } from '@tidemark/shared/store/ports/processes'
import type { Logger } from 'pino'
import { describe, expect, test, vi } from 'vitest'
import { eventually } from '../src/eventually.ts'

function join(store: ProcessStore, name: string, settings: Readonly<Record<string, string>>) {
  const log = { info: vi.fn(), warn: vi.fn() }
  const onCompared = vi.fn()
  const logFailure = vi.fn()
  const nameSetting = 'ANALYZER_ID'
  const options = { store, name, nameSetting, settings, log: log as unknown as Logger, logFailure, onCompared }
  return { presence: new Presence({ ...options, reportMs: 5 }), log, onCompared, logFailure }
}

describe('running processes', () => {
  test('that agree have no warnings', async () => {
    const { processes } = createMemoryStore()
    const one = join(processes, 'a', { WINDOW: '50', OUTBOX_MAX: '9' })
    const other = join(processes, 'b', { WINDOW: '50', DURABILITY: 'disk' })
    await using _ = one.presence
    await using __ = other.presence
    await eventually(() => expect(one.onCompared.mock.calls.length).toBeGreaterThan(3))
    expect([one.presence.warnings, other.presence.warnings]).toEqual([[], []])
    expect(one.log.warn).not.toHaveBeenCalled()
    expect(await one.presence.name()).toBe('a')
  })

  test('that disagree log it once with both values and names, until one of them has gone', async () => {
    const { processes } = createMemoryStore()
    const one = join(processes, 'a', { WINDOW: '50', THRESHOLD: '2' })
    await using _ = one.presence
    const other = join(processes, 'b', { WINDOW: '60', THRESHOLD: '2' })
    const sentence = 'WINDOW differs: 50 on a; 60 on b'
    await eventually(() => expect(one.presence.warnings).toEqual([sentence]))
    await eventually(() => expect(other.presence.warnings).toEqual([sentence]))
    const compared = one.onCompared.mock.calls.length
    await eventually(() => expect(one.onCompared.mock.calls.length).toBeGreaterThan(compared + 3))
    expect(one.onCompared).toHaveBeenLastCalledWith(1, expect.anything())
    expect(one.log.warn.mock.calls).toEqual([
      [{ setting: 'WINDOW', values: { 50: ['a'], 60: ['b'] } }, expect.stringContaining('disagree on a setting')],
    ])
    await other.presence[Symbol.asyncDispose]()
    await eventually(() => expect(one.presence.warnings).toEqual([]))
    expect(one.log.info).toHaveBeenCalledWith({ was: sentence }, expect.stringContaining('agree again'))
    expect(one.onCompared).toHaveBeenLastCalledWith(0, expect.anything())
  })

  test('whose reports stop are no longer compared', async () => {
    let now = 0
    const store = createMemoryStore({ now: () => now })
    await store.processes.report({ name: 'b', instance: 'x', content: encodeSettings({ WINDOW: '60' }) }, 1000)
    const one = join(store.processes, 'a', { WINDOW: '50' })
    await using _ = one.presence
    await eventually(() => expect(one.presence.warnings).toHaveLength(1))
    now = 1001
    await eventually(() => expect(one.presence.warnings).toEqual([]))
  })

  test('never share a name: the second takes another, says so, and both warn while both run', async () => {
    const { processes } = createMemoryStore()
    const one = join(processes, 'a', {})
    expect(await one.presence.name()).toBe('a')
    const other = join(processes, 'a', {})
    await using _ = other.presence
    expect(await other.presence.name()).toMatch(/^a-[0-9a-f]{8}$/)
    expect(other.log.warn).toHaveBeenCalledExactlyOnceWith(
      { taken: 'a', name: await other.presence.name() },
      expect.stringContaining('Set ANALYZER_ID to a different value in each process'),
    )
    await eventually(() => expect(other.presence.warnings).toHaveLength(1))
    expect(await one.presence.name()).toBe('a')
    await one.presence[Symbol.asyncDispose]()
    await eventually(() => expect(other.presence.warnings).toEqual([]))
  })

  test('go on without Redis under the wanted name, and compare when it is back', async () => {
    const { processes } = createMemoryStore()
    let isAway = true
    const store: ProcessStore = {
      ...processes,
      async report(own, ttlMs) {
        if (isAway) throw new StoreError('away', { kind: 'refused' })
        return processes.report(own, ttlMs)
      },
    }
    const one = join(store, 'a', { WINDOW: '50' })
    await using _ = one.presence
    expect(await one.presence.name()).toBe('a')
    expect(one.logFailure).toHaveBeenCalled()
    isAway = false
    await eventually(() => expect(one.onCompared).toHaveBeenCalledWith(0, expect.anything()))
  })

  test('with reports that cannot be read are left out', () => {
    const reports = ['{', '[]', '{"settings":{"WINDOW":5}}', encodeSettings({ WINDOW: '50' })]
    expect(disagreementsIn(reports.map((content, i) => ({ name: `p${i}`, instance: '1', content })))).toEqual([])
  })

  test('compare secrets by a digest that does not contain them', () => {
    const one = digestSetting(['https://user:geheim@hook.example/x'])
    expect(one).toMatch(/^1 value \(digest [0-9a-f]{12}\)$/)
    expect(one).not.toContain('geheim')
    expect(digestSetting(['https://user:other@hook.example/x'])).not.toBe(one)
    expect([digestSetting([]), digestSetting(undefined)]).toEqual(['', ''])
  })
})
