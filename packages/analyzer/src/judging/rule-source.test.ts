import { EMPTY_DOCUMENT, type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import { systemClock } from '@tidemark/shared/runtime/clock'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, expect, test, vi } from 'vitest'
import { createAnalyzerMetrics } from '../metrics.ts'
import { RuleSource } from './rule-source.ts'

const CHANGE = { who: 'ada', why: 'test', at: 1 }
const cleanup: RuleSource[] = []
afterEach(async () => {
  for (const source of cleanup.splice(0)) await source[Symbol.asyncDispose]()
})

function start(store: RuleStore) {
  const metrics = createAnalyzerMetrics(new Registry())
  const log = pino({ level: 'silent' })
  const options = {
    store,
    metrics,
    log,
    logFailure: vi.fn(),
    clock: systemClock,
    settings: VERDICT_DEFAULTS,
    pollMs: 5,
  }
  const source = new RuleSource(options)
  cleanup.push(source)
  return { source, metrics, logFailure: options.logFailure }
}

async function put(store: RuleStore, before: RuleDocument, rule: object): Promise<RuleDocument> {
  const document = withRule(before, rule, CHANGE)
  const change = { ...CHANGE, version: document.version, kind: 'rule_put', id: 'r', content: rule } as const
  expect(await store.replace(document, change)).toBe(true)
  return document
}

test('the default policy is in force until a rule is put, which is then in force soon', async () => {
  const { rules } = createMemoryStore()
  const { source } = start(rules)
  expect(source.current.resolve('a')).toBe(0)
  await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  await vi.waitFor(() => expect(source.current.version).toBe(1))
  expect(source.current.resolve('a')).toBe(1)
})

test('a caller that needs a version waits until it is loaded', async () => {
  const { rules } = createMemoryStore()
  const { source } = start(rules)
  expect((await source.atLeast(0)).version).toBe(0)
  const document = await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  await put(rules, document, { id: 'r', pattern: 'b' })
  expect((await source.atLeast(1)).version).toBe(2)
})

test('while the store is unavailable, the last rules stay in force', async () => {
  const { rules } = createMemoryStore()
  let isUnavailable = false
  const store: RuleStore = {
    ...rules,
    version: async () => {
      if (isUnavailable) throw new StoreError('unavailable', { kind: 'refused' })
      return rules.version()
    },
    document: async () => {
      if (isUnavailable) throw new StoreError('unavailable', { kind: 'refused' })
      return rules.document()
    },
  }
  const { source, logFailure } = start(store)
  const document = await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  await vi.waitFor(() => expect(source.current.version).toBe(1))
  isUnavailable = true
  await put(rules, document, { id: 'r', pattern: 'b' })
  await vi.waitFor(() => expect(logFailure).toHaveBeenCalled())
  expect(source.current.version).toBe(1)
  await expect(source.atLeast(2)).rejects.toThrow('unavailable')
  isUnavailable = false
  await vi.waitFor(() => expect(source.current.version).toBe(2))
})

test('unreadable rules leave the previous version in force, and are counted once', async () => {
  const { rules } = createMemoryStore()
  const { source, metrics } = start(rules)
  const document = await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  await vi.waitFor(() => expect(source.current.version).toBe(1))
  const rule = { id: 'r', pattern: 'a', detector: 'of a later version' } as never
  const unreadable = { ...document, version: 2, rules: [{ rule, version: 2, changed: CHANGE }] }
  await rules.replace(unreadable, { ...CHANGE, version: 2, kind: 'rule_put', id: 'r', content: rule })
  await vi.waitFor(async () => expect((await metrics.rulesUnreadable.get()).values[0]?.value).toBe(1))
  expect((await source.atLeast(2)).version).toBe(1)
  await put(rules, unreadable, { id: 'r', pattern: 'b' })
  await vi.waitFor(() => expect(source.current.version).toBe(3))
})

test('a caller does not wait for rules that the store has lost', async () => {
  const { rules } = createMemoryStore()
  const { source } = start(rules)
  await put(rules, EMPTY_DOCUMENT, { id: 'r', pattern: 'a' })
  expect((await source.atLeast(7)).version).toBe(1)
})
