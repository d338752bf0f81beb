import { digestOf, EMPTY_DOCUMENT, type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import { systemClock } from '@tidemark/shared/runtime/clock'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { eventually } from '@tidemark/testkit/eventually'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createAnalyzerMetrics } from '../metrics.ts'
import { RuleSource } from './rule-source.ts'

const CHANGE = { who: 'ada', why: 'test', at: 1 }
const cleanup: RuleSource[] = []
afterEach(async () => {
  for (const source of cleanup.splice(0)) await source[Symbol.asyncDispose]()
})

function start(store: RuleStore) {
  const metrics = createAnalyzerMetrics(new Registry())
  const log = { info: vi.fn(), error: vi.fn() }
  const options = {
    store,
    metrics,
    log: log as unknown as Logger,
    logFailure: vi.fn(),
    clock: systemClock,
    settings: VERDICT_DEFAULTS,
    pollMs: 5,
  }
  const source = new RuleSource(options)
  cleanup.push(source)
  return { source, metrics, log, logFailure: options.logFailure }
}

async function put(store: RuleStore, before: RuleDocument, rule: object): Promise<RuleDocument> {
  const document = withRule(before, rule, CHANGE)
  const change = { ...CHANGE, version: document.version, kind: 'rule_put', id: 'r', content: rule } as const
  expect(await store.replace(document, change, await store.digest())).toBe(true)
  return document
}

test('the default policy is in force until a rule is put, which is then in force soon', async () => {
  const { rules } = createMemoryStore()
  const { source } = start(rules)
  expect(source.current.resolve('a')).toBe(0)
  await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  await eventually(() => expect(source.current.version).toBe(1))
  expect(source.current.resolve('a')).toBe(1)
})

test('a caller that needs a version waits until it is loaded', async () => {
  const { rules } = createMemoryStore()
  const { source } = start(rules)
  expect((await source.refreshed(0)).version).toBe(0)
  const document = await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  await put(rules, document, { id: 'r', pattern: 'b' })
  expect((await source.refreshed(1)).version).toBe(2)
})

test('while the store is unavailable, the last rules stay in force', async () => {
  const { rules } = createMemoryStore()
  let isUnavailable = false
  const store: RuleStore = {
    ...rules,
    digest: async () => {
      if (isUnavailable) throw new StoreError('unavailable', { kind: 'refused' })
      return rules.digest()
    },
  }
  const { source, logFailure } = start(store)
  const document = await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  await eventually(() => expect(source.current.version).toBe(1))
  isUnavailable = true
  await put(rules, document, { id: 'r', pattern: 'b' })
  await eventually(() => expect(logFailure).toHaveBeenCalled())
  expect(source.current.version).toBe(1)
  await expect(source.refreshed(2)).rejects.toThrow('unavailable')
  isUnavailable = false
  await eventually(() => expect(source.current.version).toBe(2))
})

test('unreadable rules leave the previous version in force, and are counted once', async () => {
  const { rules } = createMemoryStore()
  const { source, metrics } = start(rules)
  const document = await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  await eventually(() => expect(source.current.version).toBe(1))
  const rule = { id: 'r', pattern: 'a', detector: 'of a later version' } as never
  const unreadable = { ...document, version: 2, rules: [{ rule, version: 2, changed: CHANGE }] }
  await rules.replace(
    unreadable,
    { ...CHANGE, version: 2, kind: 'rule_put', id: 'r', content: rule },
    await rules.digest(),
  )
  await eventually(async () => expect((await metrics.rulesUnreadable.get()).values[0]?.value).toBe(1))
  expect((await source.refreshed(2)).version).toBe(1)
  await put(rules, unreadable, { id: 'r', pattern: 'b' })
  await eventually(() => expect(source.current.version).toBe(3))
})

test('a caller gets the rules that the store has, also if it lost those of an earlier version', async () => {
  const { rules } = createMemoryStore()
  const { source, log } = start(rules)
  await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  expect((await source.refreshed(7)).version).toBe(1)
  expect(log.error).toHaveBeenCalledWith({ version: 7, found: 1 }, expect.stringContaining('lost rules'))
})

describe('rules that Redis lost', () => {
  const OLD = withRule(EMPTY_DOCUMENT, { id: 'r', pattern: 'a' }, CHANGE)
  const NEW = withRule(OLD, { id: 's', pattern: 'b' }, CHANGE)

  /** A store whose document can be set to anything, as by a restore. */
  function restorable() {
    const { rules } = createMemoryStore()
    let document: RuleDocument | 'garbled' = EMPTY_DOCUMENT
    const digest = (): string => (document === EMPTY_DOCUMENT ? '' : digestOf(JSON.stringify(document)))
    const store: RuleStore = {
      ...rules,
      digest: async () => digest(),
      load: async () => {
        if (document === 'garbled') throw new StoreError('garbled', { kind: 'fatal' })
        return { document, digest: digest(), newestVersion: document.version }
      },
    }
    return {
      store,
      set: (next: RuleDocument | 'garbled') => {
        document = next
      },
    }
  }

  test.each<[string, RuleDocument, RuleDocument, number]>([
    ['an older version', NEW, OLD, 1],
    ['none', NEW, EMPTY_DOCUMENT, 0],
    ['other rules of the same version', NEW, withRule(OLD, { id: 't', pattern: 'c' }, CHANGE), 2],
  ])('so that %s are there: in force at the next poll, logged and counted', async (_, before, after, version) => {
    const { store, set } = restorable()
    set(before)
    const { source, log, metrics } = start(store)
    await eventually(() => expect(source.current.version).toBe(before.version))
    const was = source.current
    set(after)
    await eventually(() => expect(source.current).not.toBe(was))
    expect(source.current.version).toBe(version)
    expect(source.current.resolve('b')).toBe(0)
    expect(log.error).toHaveBeenCalledWith({ was: before.version, version }, expect.stringContaining('lost rules'))
    expect((await metrics.rulesLost.get()).values[0]?.value).toBe(1)
    const digest = after.version === 0 ? '' : digestOf(JSON.stringify(after))
    expect((await metrics.rulesDigest.get()).values[0]?.value).toBe(Number.parseInt(digest.slice(0, 12) || '0', 16))
  })

  test('garbled rules leave the last ones in force, are reported once, and end with a restore', async () => {
    const { store, set } = restorable()
    set(NEW)
    const { source, log, metrics } = start(store)
    await eventually(() => expect(source.current.version).toBe(2))
    set('garbled')
    await eventually(() => expect(log.error).toHaveBeenCalledTimes(1))
    for (let i = 0; i < 3; i++) expect((await source.refreshed(2)).version).toBe(2)
    expect(log.error).toHaveBeenCalledTimes(1)
    expect((await metrics.rulesUnreadable.get()).values[0]?.value).toBe(1)
    set(OLD)
    await eventually(() => expect(source.current.version).toBe(1))
  })

  test('an analyzer that never had rules does not score by its defaults while the rules are garbled', async () => {
    const { store, set } = restorable()
    set('garbled')
    const { source } = start(store)
    await expect(source.refreshed(0)).rejects.toThrow('garbled')
  })

  test('a caller never gets rules from before its call', async () => {
    const { store, set } = restorable()
    set(OLD)
    const held = Promise.withResolvers<void>()
    let isHeld = true
    const slow: RuleStore = {
      ...store,
      digest: async () => {
        const digest = await store.digest()
        if (isHeld) await held.promise
        return digest
      },
    }
    const { source } = start(slow)
    // The first poll has read the digest of the old rules and waits.
    await eventually(() => expect(source).toBeDefined())
    set(NEW)
    const refreshed = source.refreshed(0)
    isHeld = false
    held.resolve()
    expect((await refreshed).version).toBe(2)
  })
})
