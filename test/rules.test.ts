import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { toUnitScore } from '@tidemark/shared/detection/detectors/detector'
import { Judge } from '@tidemark/shared/detection/judge'
import { copyRow, createRow, type KeyRow, rowShape, shapeFor } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { entryTimeMs, parseReceipt } from '@tidemark/shared/sample/receipt'
import type { Store } from '@tidemark/shared/store/ports/store'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import type { Analysis } from '@tidemark/shared/verdict/analysis'
import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { Client } from '@tidemark/tools/stack/client'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { EventLoopLag } from './support/event-loop-lag.ts'
import { SECURED } from './support/secured.ts'

const CHANGE = { who: 'ada', why: 'test', at: 1 }

async function startPipeline(stack: AsyncDisposableStack) {
  const { url } = stack.use(await startRedis(SECURED))
  const env = { REDIS_URL: url, PARTITIONS: '4', LOG_LEVEL: 'info', VERDICTS_KEPT: '1000000' }
  const { port } = stack.use(await startGateway(env))
  const analyzers = [
    stack.use(await startAnalyzer({ ...env, ANALYZER_ID: 'one' })),
    stack.use(await startAnalyzer({ ...env, ANALYZER_ID: 'two' })),
  ]
  const store = stack.use(await openRedisStore({ ...REDIS_STORE_DEFAULTS, url, onFailure: () => {} }))
  return { client: new Client(port), store, analyzers }
}

/** Waits until all analyzers score keys by this version of the rules. */
async function inForce(version: number, analyzers: readonly Service[]): Promise<void> {
  for (const { metricsPort } of analyzers) {
    await eventually(async () => {
      const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
      expect(Number(/^analyzer_rules_version (.*)$/m.exec(text)?.[1])).toBe(version)
    })
  }
}

/** Adds a rule to a document and activates it. Returns the new document. */
async function put(store: Store, before: RuleDocument, rule: { id: string }): Promise<RuleDocument> {
  const document = withRule(before, rule, CHANGE)
  const change = { ...CHANGE, version: document.version, kind: 'rule_put', id: rule.id, content: rule } as const
  expect(await store.rules.replace(document, change, await store.rules.digest())).toBe(true)
  return document
}

/** Waits for the analyses of all samples of an entry. */
async function analysesOf(client: Client, receipt: string): Promise<Analysis[]> {
  const response = await client.get(`/analyze?after=${receipt}&wait=10000`)
  expect(response.status).toBe(200)
  return ((await response.json()) as { analyses: Analysis[] }).analyses
}

/** Returns the rules that score keys now, each as the id of the rule in force for a key. */
async function rulesOn(client: Client, keys: readonly string[]): Promise<(string | undefined)[]> {
  const { receipts } = await client.ingest(keys.map(key => ({ key, value: 1, timestamp: Date.now() })))
  const analyses = (await Promise.all(receipts.map(receipt => analysesOf(client, receipt)))).flat()
  return keys.map(key => analyses.find(analysis => analysis.key === key)?.rule)
}

/** Returns a generator of numbers from 0 to 1, deterministic by seed. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Where a value is of the rule with a range. */
function sideOf(value: number): string | undefined {
  return value > 40 ? 'above' : value < 17 ? 'below' : undefined
}

/** Noise with spikes, steps and flat stretches. */
function valueAt(random: () => number, n: number): number {
  if (random() < 0.01) return 500 * random()
  if (n % 150 > 130) return 20
  return Math.round((20 + (n > 250 ? 30 : 0) + 4 * (random() + random() - 1)) * 100) / 100
}

describe.runIf(await redisAvailable())('rules', () => {
  const RULES = [
    { id: 'ewma', pattern: 'a/*', detector: 'ewma' },
    { id: 'novelty', pattern: 'b/*', detector: 'novelty' },
    { id: 'held', pattern: 'c/*', detector: 'mad', window: 80, influence: 'held', level_shift_after: 6 },
    { id: 'budget', pattern: 'd/*', budget: '1 %', direction: 'up', deviation_min: 0.5, duplicates: 'drop' },
    { id: 'range', pattern: 'e/*', detector: 'range', late: 'refuse' },
    { id: 'habit', pattern: 'f/*', detector: 'habit' },
    { id: 'counter', pattern: 'g/*', detector: 'novelty', counter: true },
    { id: 'ignore', pattern: 'h/*', ignore: [20] },
    { id: 'limited', pattern: 'i/*', min: 17, max: 40, unit: 'ms', window: 30 },
  ]
  const KEYS = ['a/x', 'b/x', 'c/x', 'd/x', 'e/x', 'f/x', 'g/x', 'h/x', 'i/x', 'no rule']

  test('a backtest scores a file as the pipeline does, bit for bit', async () => {
    await using stack = new AsyncDisposableStack()
    const folder = stack.adopt(await mkdtemp(join(tmpdir(), 'tidemark-')), path => rm(path, { recursive: true }))
    const { client, store, analyzers } = await startPipeline(stack)
    let document = EMPTY_DOCUMENT
    for (const rule of RULES) document = await put(store, document, rule)
    await inForce(document.version, analyzers)

    const random = seeded(7)
    const rows = Array.from({ length: 400 }, (_, n) =>
      KEYS.map(key => ({
        key,
        value: valueAt(random, n),
        timestamp: 1_700_000_000_000 + 1000 * (n - (n % 97 === 96 ? 3 : 0)),
      })),
    ).flat()
    const files = { csv: join(folder, 'a.csv'), rules: join(folder, 'rules.json'), scores: join(folder, 'scores.csv') }
    await writeFile(
      files.csv,
      `timestamp,value,key\n${rows.map(({ timestamp, value, key }) => `${timestamp},${value},${key}`).join('\n')}\n`,
    )
    await writeFile(files.rules, JSON.stringify(RULES))
    const main = fileURLToPath(new URL('../tools/backtest/main.ts', import.meta.url))
    await promisify(execFile)(process.execPath, [main, files.csv, '--rules', files.rules, '--scores', files.scores])
    const scores = (await readFile(files.scores, 'utf8')).trim().split('\n').slice(1)

    const served = new Map<string, Analysis[]>(KEYS.map(key => [key, []]))
    for (let i = 0; i < rows.length; i += 200) {
      const { receipts } = await client.ingest(rows.slice(i, i + 200))
      for (const receipt of receipts) {
        for (const analysis of await analysesOf(client, receipt)) served.get(analysis.key)?.push(analysis)
      }
    }
    const limited = served.get('i/x') ?? []
    expect(limited.every(({ value, range, unit }) => unit === 'ms' && range === sideOf(value))).toBe(true)
    expect(limited.filter(({ anomaly, range }) => anomaly && range === 'above').length).toBeGreaterThan(100)
    const pipeline = rows.map(({ key }) => {
      const analysis = served.get(key)?.shift()
      if (analysis === undefined) return 'no analysis'
      const { score, z, threshold, state, range } = analysis
      if (range !== undefined) return '1'
      return String(
        state === 'refused' || state === 'ignored'
          ? 0
          : toUnitScore(Math.abs((score === undefined ? z : score) ?? Number.NaN), threshold),
      )
    })
    expect(pipeline).toEqual(scores.map(line => line.split(',')[2]))
    expect(new Set(pipeline).size).toBeGreaterThan(1000)
  })

  describe('that Redis lost', () => {
    const KEY = 'tm:{rules}:document'
    const NOTE = { who: 'mira', why: 'test' }
    const OTHER = { ...EMPTY_DOCUMENT, version: 2 }
    const SPREAD = ['a/1', 'a/2', 'a/3', 'b/1', 'b/2', 'b/3', 'c/1', 'c/2', 'c/3']

    async function open(stack: AsyncDisposableStack) {
      const { url } = stack.use(await startRedis(SECURED))
      const env = { REDIS_URL: url, PARTITIONS: '4', LOG_LEVEL: 'info' }
      const { port } = stack.use(await startGateway(env))
      for (const name of ['one', 'two']) stack.use(await startAnalyzer({ ...env, ANALYZER_ID: name }))
      const redis = stack.adopt(rawClient(url), connection => connection.disconnect())
      const client = new Client(port)
      const putRule = async (id: string, more: object = {}): Promise<number> => {
        const body = JSON.stringify({ rule: { pattern: `${id}/*`, ...more }, ...NOTE })
        const headers = { 'Content-Type': 'application/json' }
        const response = await fetch(`http://127.0.0.1:${port}/rules/${id}`, { method: 'PUT', headers, body })
        expect(response.status).toBe(201)
        return ((await response.json()) as { version: number }).version
      }
      /** Waits until exactly these rules score keys of all partitions. */
      const expectInForce = async (...rules: readonly string[]): Promise<void> => {
        const expected = SPREAD.map(key => (rules.includes(key[0] ?? '') ? key[0] : undefined))
        const found = async () => expect(await rulesOn(client, SPREAD)).toEqual(expected)
        await eventually(found)
      }
      return { redis, putRule, expectInForce }
    }

    test('and that were restored from an older copy, are those that the next change builds on, everywhere', async () => {
      await using stack = new AsyncDisposableStack()
      const { redis, putRule, expectInForce } = await open(stack)
      expect(await putRule('a')).toBe(1)
      await expectInForce('a')
      const copy = await redis.hgetall(KEY)
      expect(await putRule('b')).toBe(2)
      await expectInForce('a', 'b')
      await redis.hset(KEY, copy)
      // Not 2 again: analyses that name version 2 were made by other rules.
      expect(await putRule('c')).toBe(3)
      await expectInForce('a', 'c')
    })

    test.each<[string, (redis: ReturnType<typeof rawClient>) => Promise<unknown>]>([
      ['FLUSHALL', redis => redis.flushall()],
      ['DEL', redis => redis.del(KEY)],
      ['a document of the same version', redis => redis.hset(KEY, 'document', JSON.stringify(OTHER))],
      [
        'only the document of an older version',
        redis => redis.hset(KEY, 'document', JSON.stringify({ ...OTHER, version: 1 })),
      ],
    ])('by %s, are no longer in force anywhere, and a change then is', async (_, lose) => {
      await using stack = new AsyncDisposableStack()
      const { redis, putRule, expectInForce } = await open(stack)
      await putRule('a')
      await putRule('b')
      await expectInForce('a', 'b')
      await lose(redis)
      await expectInForce()
      await putRule('c')
      await expectInForce('c')
    })
  })

  test('a change under load is active within two seconds, without a lost or duplicate verdict', async () => {
    await using stack = new AsyncDisposableStack()
    const { client, store, analyzers } = await startPipeline(stack)
    const keys = Array.from({ length: 12 }, (_, n) => `edge-${n}/cpu`)
    const random = seeded(3)
    const receipts: string[] = []
    const accepted = new Map<string, { value: number; timestamp: number }[]>(keys.map(key => [key, []]))
    let isOver = false
    const load = (async () => {
      for (let n = 0; !isOver; n++) {
        const samples = [...keys, ...keys].map((key, i) => ({
          key,
          value: valueAt(random, n),
          timestamp: 1_700_000_000_000 + 2000 * n + (i < keys.length ? 0 : 1000),
        }))
        receipts.push(...(await client.ingest(samples)).receipts)
        for (const { key, value, timestamp } of samples) accepted.get(key)?.push({ value, timestamp })
        await pause(5)
      }
    })()

    const documents = [EMPTY_DOCUMENT]
    const changedAt = [0]
    using lag = new EventLoopLag(() => analyzers.map(({ pid }) => pid))
    const begin = performance.now()
    for (const rule of [
      { id: 'cpu', pattern: '*/cpu', detector: 'ewma', threshold: 4 },
      { id: 'cpu', pattern: '*/cpu', window: 20, samples_min: 10 },
      { id: 'some', pattern: 'edge-[0-4]/*', detector: 'novelty' },
    ]) {
      await pause(2500)
      documents.push(await put(store, documents.at(-1) as RuleDocument, rule))
      changedAt.push(Date.now())
    }
    await pause(2500)
    isOver = true
    await load
    // Processes that get no time are late.
    const withinMs = 2000 + lag.between(begin, performance.now())

    const rules = documents.map(document => new RuleSet(document))
    const versionsSeen = new Set<number>()
    const states = new Map<string, { row: KeyRow; version: number; n: number }>()
    for (const receipt of receipts) {
      const analyses = await analysesOf(client, receipt)
      const at = parseReceipt(receipt)
      const verdicts = at && (await store.gateway.verdicts(at.partition, at.id))
      const version = verdicts?.rulesVersion ?? Number.NaN
      const time = entryTimeMs(at?.id ?? '')
      versionsSeen.add(version)
      for (const [newer, changed] of changedAt.entries()) {
        if (time >= changed + withinMs)
          expect(version, 'a change is active within two seconds').toBeGreaterThanOrEqual(newer)
      }
      for (const analysis of analyses) {
        const { key } = analysis
        const known = states.get(key) ?? { row: createRow(rowShape(50, 'zscore', false)), version: -1, n: 0 }
        states.set(key, known)
        const active = rules[version] as RuleSet
        expect(version, 'rule versions never go back').toBeGreaterThanOrEqual(known.version)
        const policy = active.policies[active.resolve(key)] as Policy
        if (version !== known.version) {
          const row = createRow(shapeFor(known.row, policy))
          copyRow(known.row, row)
          known.row = row
          known.version = version
        }
        const sample = accepted.get(key)?.[known.n++]
        expect(analysis).toMatchObject({ ...sample, count: known.n })
        const judged = new Judge(policy).step(known.row, analysis.value, analysis.timestamp, time)
        expect(analysis.anomaly).toBe(judged.isFlagged)
        // JSON has no -0.
        if (analysis.score !== undefined) expect(analysis.score ?? Number.NaN).toBe(judged.score + 0)
        expect(analysis.window).toBe(judged.window)
      }
    }
    expect([...versionsSeen].sort()).toEqual([0, 1, 2, 3])
    for (const key of keys) expect(states.get(key)?.n, key).toBe(accepted.get(key)?.length)
    const progress = await store.gateway.progress([0, 1, 2, 3])
    const total = [...accepted.values()].reduce((sum, { length }) => sum + length, 0)
    expect(progress.reduce((sum, { analysed }) => sum + analysed, 0)).toBe(total)
  })
})
