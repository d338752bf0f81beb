import { Judge } from '@tidemark/shared/detection/judge'
import { createRow, shapeOf } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { counterTimestamp } from '@tidemark/shared/sample/arrival'
import { packFlat } from '@tidemark/shared/sample/entry'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { Random } from '@tidemark/testkit/random'
import { packSamples } from '@tidemark/testkit/samples'
import { describe, expect, test } from 'vitest'
import { previewSchema } from '../src/rules/schemas.ts'
import { testKey } from './support/api-keys.ts'
import { createTestClient } from './support/client.ts'
import { analyseAll, commitEffects, NOW, type TestAppOptions, windowOf } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const NOTE = { who: 'mira', why: 'a test' }
const KEY = 'edge-17/cpu'
const STEP_MS = 1000

function clientOf(options: TestAppOptions = {}) {
  const client = createTestClient(options)
  const send = (body: unknown, headers: Record<string, string> = {}) =>
    client.send('POST', '/rules/preview', body, headers)
  return {
    ...client,
    send,
    putRule: (id: string, rule: unknown, headers: Record<string, string> = {}) =>
      client.send('PUT', `/rules/${id}`, { rule, ...NOTE }, headers),
    preview: async (body: unknown) => client.read(await send(body), previewSchema),
  }
}

/** Noise around 40 with a step up by 30 at each of these indexes, for a few samples. */
function values(count: number, spikes: readonly number[] = [], seed = 5): number[] {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, i) => {
    const isHigh = spikes.some(at => i >= at && i < at + 4)
    return 40 + random.normal() + (isHigh ? 30 : 0)
  })
}

/** Stores samples of a key, an entry for each, as analysed. */
async function store(target: MemoryStore, key: string, all: readonly number[], begin = NOW): Promise<void> {
  const partition = partitionOf(key, target.partitions)
  const batches = all.map((value, i) => ({
    partition,
    samples: packSamples([{ key, value, timestamp: begin + i * STEP_MS }]),
    count: 1,
  }))
  await target.gateway.append(batches)
  await analyseAll(target)
}

/** What a policy makes of samples that all arrived at NOW, by the detection code alone. */
function expected(policy: Policy, all: readonly number[], begin = NOW) {
  const judge = new Judge(policy)
  const row = createRow(shapeOf(policy))
  const flagged: boolean[] = []
  let opened = 0
  all.forEach((value, i) => {
    const judged = judge.step(row, value, begin + i * STEP_MS, NOW)
    flagged.push(judged.isFlagged)
    opened += judged.alerts.filter(({ kind }) => kind === 'opened').length
  })
  return { flagged, opened }
}

function policyOf(rule: object): Policy {
  const set = new RuleSet(withRule(EMPTY_DOCUMENT, rule, { ...NOTE, at: 0 }))
  return set.policies[1] as Policy
}

const FIXED = { id: 'edge-cpu', pattern: 'edge-*/cpu', alert: { samples: 2, of: 2 } }

describe('POST /rules/preview', () => {
  test('scores what is kept of a key by the rule in force and by the new one, as the analyzer would', async () => {
    const memory = createMemoryStore({ now: () => NOW })
    const { putRule, preview } = clientOf({ store: memory })
    const all = values(400, [150, 250, 320])
    await store(memory, KEY, all)
    await putRule('edge-cpu', FIXED)
    const limited = { ...FIXED, max: 60, threshold: 30 }
    const {
      history,
      in_force,
      preview: after,
      keys,
      series,
      rules_version,
      rule,
      policy,
    } = await preview({
      rule: limited,
      key: KEY,
    })
    expect(history).toEqual({
      keys: 1,
      keys_found: 1,
      samples: 400,
      from: NOW,
      to: NOW + 399 * STEP_MS,
      cut: false,
    })
    expect([rules_version, rule, policy.max, policy.threshold]).toEqual([1, limited, 60, 30])
    const [before, then] = [expected(policyOf(FIXED), all), expected(policyOf(limited), all)]
    expect(before.opened).toBeGreaterThan(0)
    expect(then.opened).toBe(3)
    expect(series?.in_force.flagged).toEqual(before.flagged)
    expect(series?.preview.flagged).toEqual(then.flagged)
    expect(series?.preview.opened.filter(Boolean)).toHaveLength(3)
    expect(series?.values).toEqual(all)
    expect(in_force).toMatchObject({ flagged: before.flagged.filter(Boolean).length, opened: before.opened })
    expect(after).toMatchObject({ scored: 370, flagged: 12, opened: 3 })
    expect(keys[0]?.preview.alerts.map(({ opened_at, value }) => [opened_at, value])).toEqual(
      [150, 250, 320].map(at => [NOW + at * STEP_MS, all[at]]),
    )
  })

  test('begins with the window where that reaches further back than the kept samples', async () => {
    const memory = createMemoryStore({ now: () => NOW })
    const { preview } = clientOf({ store: memory })
    const all = values(60, [55])
    const begin = NOW - 60 * STEP_MS
    await store(memory, KEY, all.slice(45), begin + 45 * STEP_MS)
    const times = all.map((_, i) => begin + i * STEP_MS)
    const { row: bytes } = windowOf(all.slice(10), times.slice(10))
    const partition = partitionOf(KEY, memory.partitions)
    await commitEffects(memory, partition, { keys: [{ key: KEY, window: { kind: 'row', bytes }, analysis: null }] })
    const { history, series } = await preview({ rule: FIXED, key: KEY })
    expect(history).toMatchObject({ samples: 50, from: times[10], to: times[59] })
    expect(series?.values).toEqual(all.slice(10))
    // Of another key nothing but the window is left.
    const other = partitionOf('edge-18/cpu', memory.partitions)
    const window = { kind: 'row', bytes } as const
    await commitEffects(memory, other, { keys: [{ key: 'edge-18/cpu', window, analysis: null }] })
    expect((await preview({ rule: FIXED, key: 'edge-18/cpu' })).history).toMatchObject({ keys: 1, samples: 50 })
    const none = { keys: 0, samples: 0, from: null, to: null }
    expect((await preview({ rule: FIXED, key: 'edge-99/cpu' })).history).toMatchObject(none)
  })

  test('compares all keys of the pattern or a prefix, those that differ most first', async () => {
    const memory = createMemoryStore({ now: () => NOW, partitions: 4 })
    const { putRule, preview } = clientOf({ store: memory })
    await store(memory, 'edge-1/cpu', values(200, [], 1))
    await store(memory, 'edge-2/cpu', values(200, [100, 150], 2))
    await store(memory, 'edge-2/mem', values(200, [100], 3))
    await store(memory, 'edge-3/cpu', values(200, [100], 4))
    await putRule('special', { pattern: 'edge-3/cpu', threshold: 50, alert: { samples: 5, of: 5 } })
    const rule = { pattern: 'edge-*/cpu', max: 60 }
    const { keys, history, in_force, preview: after, series } = await preview({ rule })
    expect(keys.map(({ key }) => key)).toEqual(['edge-2/cpu', 'edge-1/cpu', 'edge-3/cpu'])
    expect(keys.map(one => [one.in_force.rule, one.preview.rule])).toEqual([
      [null, 'preview'],
      [null, 'preview'],
      // A more specific rule stays in force.
      ['special', 'special'],
    ])
    expect(history).toMatchObject({ keys: 3, keys_found: 3, samples: 600, cut: false })
    expect(after.opened).toBe(2)
    // Each key begins without memory, whatever key was scored before it.
    const policy = policyOf({ id: 'preview', ...rule })
    const alone = [values(200, [100, 150], 2), values(200, [], 1)].map(all => expected(policy, all))
    expect(keys.slice(0, 2).map(one => one.preview.flagged)).toEqual(
      alone.map(({ flagged }) => flagged.filter(Boolean).length),
    )
    expect(in_force.opened).toBe(keys.reduce((sum, key) => sum + key.in_force.opened, 0))
    expect(series).toBeNull()
    const one = await preview({ rule, prefix: 'edge-1' })
    expect(one.keys.map(({ key }) => key)).toEqual(['edge-1/cpu'])
    // Keys that a rule loses concern it too.
    await putRule('wide', { pattern: 'edge-2*', max: 60 })
    const narrowed = await preview({ rule: { id: 'wide', pattern: 'edge-2/cpu', max: 60 } })
    const ruleOf = new Map(narrowed.keys.map(one => [one.key, [one.in_force.rule, one.preview.rule]]))
    expect(Object.fromEntries(ruleOf)).toEqual({ 'edge-2/mem': ['wide', null], 'edge-2/cpu': ['wide', 'wide'] })
  })

  test('scores a shadow rule as if it were in force', async () => {
    const memory = createMemoryStore({ now: () => NOW })
    const { preview } = clientOf({ store: memory })
    await store(memory, KEY, values(200, [150]))
    const { preview: after, keys } = await preview({ rule: { ...FIXED, shadow: true, max: 60 }, key: KEY })
    expect([after.opened, keys[0]?.preview.rule]).toEqual([1, 'edge-cpu'])
  })

  test('scores the rates of samples that say they are of a counter', async () => {
    const memory = createMemoryStore({ now: () => NOW })
    const { preview } = clientOf({ store: memory })
    const partition = partitionOf(KEY, memory.partitions)
    let count = 0
    const batches = values(200, [150]).map((value, i) => {
      count += value
      return { partition, samples: packFlat([KEY, count, counterTimestamp(NOW + i * STEP_MS)]), count: 1 }
    })
    await memory.gateway.append(batches)
    await analyseAll(memory)
    const { preview: after, series } = await preview({ rule: { ...FIXED, max: 60 }, key: KEY })
    expect(after).toMatchObject({ opened: 1 })
    expect(series?.preview.high.every(high => high === null)).toBe(true)
  })

  test('counts silences, and resolves what would have ended since', async () => {
    const memory = createMemoryStore({ now: () => NOW })
    const { preview } = clientOf({ store: memory, now: () => NOW + 3_600_000 })
    await store(memory, KEY, values(60, [58]))
    const { keys } = await preview({ rule: { ...FIXED, max: 60, silent: '5m' }, key: KEY })
    expect(keys[0]?.preview.alerts.map(({ kind, resolved_at }) => [kind, resolved_at !== null])).toEqual([
      ['anomaly', true],
      ['silent', false],
    ])
  })

  test('looks through a bounded number of samples and keys, and says so', async () => {
    const memory = createMemoryStore({ now: () => NOW, partitions: 1 })
    const { preview } = clientOf({ store: memory })
    await store(memory, KEY, values(300))
    const cut = await preview({ rule: FIXED, samples_max: 100 })
    expect(cut.history).toMatchObject({ samples: 100, from: NOW + 200 * STEP_MS, cut: true })
    const samples = Array.from({ length: 250 }, (_, i) => ({ key: `edge-${i}/cpu`, value: i, timestamp: NOW }))
    await memory.gateway.append([{ partition: 0, samples: packSamples(samples), count: samples.length }])
    await analyseAll(memory)
    const many = await preview({ rule: FIXED })
    expect(many.history).toMatchObject({ keys: 200, keys_found: 250 })
    expect(many.keys).toHaveLength(50)
    const more = Array.from({ length: 2500 }, (_, i) => ({ key: `edge-${i}/cpu`, value: i, timestamp: NOW }))
    await memory.gateway.append([{ partition: 0, samples: packSamples(more), count: more.length }])
    await analyseAll(memory)
    expect((await preview({ rule: FIXED })).history).toMatchObject({ keys: 200, keys_found: 2500 })
    // Its entry has samples of the others as well.
    const single = await preview({ rule: FIXED, key: 'edge-249/cpu' })
    expect([single.keys.map(({ key }) => key), single.series?.values]).toEqual([['edge-249/cpu'], [249, 249]])
    const valid = await preview({ rule: FIXED, samples_max: 0 })
    expect([valid.keys, valid.policy.window]).toEqual([[], 50])
  })

  test.each([
    [{ rule: { pattern: 'a', window: 5 } }, ['rule.window']],
    [{ rule: { pattern: 'a', alert: { opne: 1 } } }, ['rule.alert.opne']],
    [{ rule: { id: 'changes', pattern: 'a' } }, ['rule.id']],
    [{ rule: { id: 'a b', pattern: '[z-a' } }, ['rule.id', 'rule.pattern']],
    [{ rule: 7 }, ['rule']],
    [{ rule: { pattern: 'a' }, samples_max: 100_001, key: '', prefix: 1 }, ['key', 'prefix', 'samples_max']],
    [{ rule: { pattern: `${'{a?,b?}'.repeat(11)}` } }, ['rule.pattern']],
  ])('names what is invalid, as PUT does: %j', async (body, fields) => {
    const response = await clientOf().send(body)
    const { status, errors } = await problemOf(response)
    expect(status).toBe(422)
    expect(errors?.map(({ field }) => field)).toEqual(fields)
  })

  test('changes nothing and leaves no record', async () => {
    const memory = createMemoryStore({ now: () => NOW })
    const { preview } = clientOf({ store: memory })
    await preview({ rule: FIXED })
    expect((await memory.rules.load()).document).toEqual(EMPTY_DOCUMENT)
    expect(await memory.audit.list({ count: 10 })).toEqual([])
  })

  test('shows an API key only its own keys and rules', async () => {
    const own = testKey({ key_prefix: 'edge-1', scopes: ['read'] })
    const all = testKey({ name: 'all', scopes: ['read', 'operate'] })
    const memory = createMemoryStore({ now: () => NOW })
    const { send, read, putRule } = clientOf({ store: memory, keys: [own.record, all.record] })
    await store(memory, 'edge-17/cpu', values(50))
    await store(memory, 'edge-27/cpu', values(50))
    await putRule('theirs', { pattern: '*' }, all.headers)
    const rule = { pattern: 'edge-1*/cpu' }
    const { keys } = await read(await send({ rule }, own.headers), previewSchema)
    expect(keys.map(({ key }) => key)).toEqual(['edge-17/cpu'])
    const foreign = { id: 'theirs', ...rule }
    for (const body of [{ rule: { pattern: 'edge-*' } }, { rule, key: 'edge-27/cpu' }, { rule: foreign }]) {
      expect([body, (await send(body, own.headers)).status]).toEqual([body, 403])
    }
  })
})
