import { createApiKey } from '@tidemark/shared/access/api-key'
import type { AuditIntent } from '@tidemark/shared/access/audit-record'
import { FLEET_PARTITION, NOT_NOTIFIED } from '@tidemark/shared/detection/alerts/record'
import { EMPTY_DOCUMENT } from '@tidemark/shared/detection/rules/document'
import type { Entry } from '@tidemark/shared/sample/entry'
import type { Deliveries } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Store } from '@tidemark/shared/store/ports/store'
import { readScript, scriptNames } from '@tidemark/shared/store/redis/lua-source'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commitAlerts, openingOf } from '../../src/alert-commits.ts'
import {
  type RedisFixture,
  redisAvailable,
  redisClusterAvailable,
  startRedis,
  startRedisCluster,
} from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'
import {
  append,
  appendAndRead,
  appendOne,
  commitOf,
  keyUpdate,
  LONG_MS,
  only,
  own,
  packed,
  progressOf,
} from '../../src/store-contract/harness.ts'

function openOn(url: string, prefix = 'tm'): Promise<Store> {
  const options = {
    ...REDIS_STORE_DEFAULTS,
    url,
    cluster: url.includes(','),
    partitions: 4,
    prefix,
    // Refused as a transaction, it is applied as a script.
    transactionKeys: 1,
    onFailure: () => {},
  }
  return openRedisStore(options)
}

/** Sets a limit far below what any Redis uses, so that everything is refused that may be. */
async function limitMemory(nodes: readonly RedisFixture[], maxmemory: string): Promise<void> {
  for (const { url } of nodes) {
    const client = rawClient(url)
    await client.call('CONFIG', 'SET', 'maxmemory', maxmemory)
    client.disconnect()
  }
}

async function expectOnlyAppendsRefused(url: string, nodes: readonly RedisFixture[]): Promise<void> {
  await using store = await openOn(url)
  const lease = await own(store, 0)
  const entries = await appendAndRead(store, 0, 3, 2)
  const [later = ''] = await append(store, 0, 4)
  await appendOne(store, 1, 1)
  await limitMemory(nodes, '1mb')

  const once = { request: 'r', ttlMs: LONG_MS }
  const batch = { partition: 2, samples: packed(1), count: 1 }
  expect(await store.gateway.append([batch, { ...batch, once }])).toEqual([
    { kind: 'no-memory' },
    { kind: 'no-memory' },
  ])
  const claim = { partition: 2, name: 'n', content: 'c', ttlMs: LONG_MS }
  expect(await store.gateway.claimRequest(claim)).toEqual({ kind: 'no-memory' })
  expect(await progressOf(store, 2)).toMatchObject({ accepted: 0 })

  // The owner continues.
  const { analyzer, gateway } = store
  expect(await analyzer.heartbeat('a', LONG_MS)).toEqual(['a'])
  expect(await analyzer.renewLeases([lease], LONG_MS)).toEqual([true])
  expect(await analyzer.loadWindows(0, ['k'])).toEqual([null])
  const changes = { keys: [keyUpdate('k')], anomalies: ['{}'], deadLetters: [{ id: later, reason: 'r', samples: 's' }] }
  const commit = commitOf({ id: '0-0', offset: 0 }, entries, changes)
  expect(await analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
  expect(await analyzer.read([0], { count: 9, blockMs: 100 })).toMatchObject([{ entries: [{ id: later }] }])
  expect(await analyzer.readPending(0, '0-0', 9)).toMatchObject([{ id: later }])
  expect(await analyzer.noteAttempt(lease, { id: later, count: 1 })).toBe(true)
  await analyzer.acknowledge(0, [entries[0]?.id ?? ''])
  expect(await analyzer.backlogs([0])).toMatchObject([{ samples: 4, oldest: later }])
  expect(await gateway.lastAnalyses([{ partition: 0, key: 'k' }])).toEqual([keyUpdate('k').analysis])
  expect(await gateway.window({ partition: 0, key: 'k' })).not.toBeNull()

  // So does an analyzer that takes over a partition, which may have no group yet, and one that is
  // starting.
  await using other = await openOn(url)
  expect(await other.analyzer.heartbeat('b', LONG_MS)).toEqual(['a', 'b'])
  for (const partition of [1, 3]) {
    expect(await other.analyzer.acquireLease(partition, 'b:1', LONG_MS)).toBe(true)
    expect(await other.analyzer.loadCheckpoint(partition)).toMatchObject({ id: '0-0', offset: 0 })
  }
  expect(await other.analyzer.read([1, 3], { count: 9, blockMs: 100 })).toMatchObject([{ partition: 1 }])
  expect(await other.analyzer.releaseLease({ partition: 1, token: 'b:1' })).toBe(true)
  await other.analyzer.leave('b')

  await limitMemory(nodes, '0')
  expect(await store.gateway.append([batch, { ...batch, once }])).toMatchObject([
    { kind: 'stored' },
    { kind: 'stored' },
  ])
  expect(await store.gateway.claimRequest(claim)).toEqual({ kind: 'new' })
}

/** A partition with an owner, an applied entry, one that waits, and a firing alert. */
interface Situation {
  readonly store: Store
  readonly lease: Lease
  readonly entries: readonly Entry[]
  readonly alert: string
}

async function prepare(store: Store): Promise<Situation> {
  const lease = await own(store, FLEET_PARTITION)
  const opening = openingOf({ partition: FLEET_PARTITION, key: 'k', at: 1 })
  await commitAlerts(store, lease, { opened: [opening] })
  const entries = await appendAndRead(store, FLEET_PARTITION, 3, 2)
  return { store, lease, entries, alert: opening.id }
}

const ONCE = { request: 'r', ttlMs: LONG_MS }
const BATCH = { partition: 2, samples: packed(1), count: 1 }
const DEAD_DELIVERY: Deliveries = {
  receiver: 'hook',
  upTo: '1-1',
  receivers: ['hook'],
  alerts: [],
  dead: [{ alert: 'a', status: 'firing', number: 1, reason: 'HTTP 500', since: 1 }],
}
const NOTE = { who: 'ada', why: 'test', at: 1 }
const INTENT: AuditIntent = {
  ...{ who: 'ada', keyId: 'k', via: 'api-key', address: '::1', subject: null },
  ...{ method: 'PUT', route: '/storm', action: 'putStorm' },
}
const API_KEY = {
  ...{ name: 'a', scopes: ['read' as const], key_prefix: '', limits: {}, expires_at: null },
  ...{ created_at: 1, created_by: 'ada' },
}

async function appendOrThrow({ store }: Situation, batch: Parameters<Store['gateway']['append']>[0][number]) {
  const { kind } = only(await store.gateway.append([batch]))
  if (kind === 'no-memory') throw new Error('OOM as an outcome')
}

/**
 * What each script may do while Redis' memory is full: only those that store more of what clients
 * send are refused. Everything that frees memory, or that an operator needs then, must run.
 */
const AT_LIMIT: Readonly<
  Record<string, { readonly may: 'run' | 'be refused'; readonly call: (situation: Situation) => Promise<unknown> }>
> = {
  append: { may: 'be refused', call: situation => appendOrThrow(situation, BATCH) },
  'append-once': { may: 'be refused', call: situation => appendOrThrow(situation, { ...BATCH, once: ONCE }) },
  'claim-request': {
    may: 'be refused',
    async call({ store }) {
      const claim = { partition: 2, name: 'n', content: 'c', ttlMs: LONG_MS }
      if ((await store.gateway.claimRequest(claim)).kind === 'no-memory') throw new Error('OOM as an outcome')
    },
  },
  acquire: { may: 'run', call: async ({ store }) => isTrue(await store.analyzer.acquireLease(1, 'a:1', LONG_MS)) },
  renew: { may: 'run', call: async ({ store, lease }) => isTrue(only(await store.analyzer.renewLeases([lease], 9))) },
  release: { may: 'run', call: async ({ store, lease }) => isTrue(await store.analyzer.releaseLease(lease)) },
  heartbeat: { may: 'run', call: ({ store }) => store.analyzer.heartbeat('a', LONG_MS) },
  // Compared at the first heartbeat of a member.
  layout: { may: 'run', call: ({ store }) => store.analyzer.heartbeat('new', LONG_MS) },
  'load-checkpoint': { may: 'run', call: ({ store }) => store.analyzer.loadCheckpoint(1) },
  'kept-entries': { may: 'run', call: ({ store }) => store.analyzer.keptEntries(FLEET_PARTITION) },
  backlog: { may: 'run', call: ({ store }) => store.analyzer.backlogs([FLEET_PARTITION]) },
  'note-attempt': {
    may: 'run',
    call: async ({ store, lease }) => isTrue(await store.analyzer.noteAttempt(lease, { id: '1-1', count: 1 })),
  },
  'withdraw-attempt': {
    may: 'run',
    call: ({ store }) => store.analyzer.withdrawAttempt(FLEET_PARTITION, { id: '1-1', count: 1 }),
  },
  commit: {
    may: 'run',
    async call({ store, lease, entries }) {
      const commit = commitOf({ id: '0-0', offset: 0 }, entries, { keys: [keyUpdate('k')] })
      isTrue((await store.analyzer.commit(lease, commit)).kind === 'ok')
    },
  },
  'look-up-keys': { may: 'run', call: ({ store }) => store.keys.lookUp([{ partition: 1, key: 'k' }]) },
  'scan-keys': {
    may: 'run',
    call: ({ store }) => store.keys.scan(1, { list: 'registry', cursor: '0', count: 9, idleSince: 1 }),
  },
  'register-keys': {
    may: 'be refused',
    async call({ store }) {
      const outcome = await store.keys.register([{ partition: 1, key: 'k', owner: '' }])
      if (outcome === 'no-memory') throw new Error('OOM no memory')
    },
  },
  // Deleting keys frees memory.
  'request-deletion': { may: 'run', call: ({ store }) => store.keys.requestDeletion(1, 'd', { key: 'k' }) },
  'finish-deletion': {
    may: 'run',
    call: async ({ store, lease }) => isTrue(await store.keys.finishDeletion(lease, 'd')),
  },
  'expired-timers': { may: 'run', call: ({ store }) => store.analyzer.expiredTimers(FLEET_PARTITION, 9) },
  'at-rest': { may: 'run', call: ({ store }) => store.analyzer.atRest(FLEET_PARTITION) },
  'read-alert-feeds': {
    may: 'run',
    call: ({ store }) => store.alerts.feeds([{ partition: FLEET_PARTITION, after: '0-0' }], 9),
  },
  'read-points': {
    may: 'run',
    call: ({ store }) => store.points.read(FLEET_PARTITION, { intervalMs: 1, after: '0-0', count: 9 }),
  },
  'due-notifications': { may: 'run', call: ({ store }) => store.alerts.dueNotifications(FLEET_PARTITION, 9) },
  'record-notifications': {
    may: 'run',
    async call({ store, lease, alert }) {
      const decision = { id: alert, notification: NOT_NOTIFIED, dueAt: 1, nextCheckAt: null, notify: 'firing' } as const
      expect(await store.alerts.recordNotifications(lease, [decision], ['hook'])).toBe(0)
    },
  },
  'record-deliveries': {
    may: 'run',
    call: async ({ store, lease }) => isTrue(await store.alerts.recordDeliveries(lease, DEAD_DELIVERY)),
  },
  'record-taken': {
    may: 'run',
    async call({ store, alert }) {
      await store.alerts.recordTaken(FLEET_PARTITION, 'one', [{ alert, status: 'firing', number: 7 }])
      const parts = only(await store.alerts.read(FLEET_PARTITION, [alert]))
      expect(parts?.receivers?.one).toMatchObject({ told: 7 })
    },
  },
  'redrive-notification': {
    may: 'run',
    async call({ store, lease, alert }) {
      const dead = DEAD_DELIVERY.dead.map(letter => ({ ...letter, alert }))
      await store.alerts.recordDeliveries(lease, { ...DEAD_DELIVERY, dead })
      const letter = only(await store.alerts.deadNotifications(FLEET_PARTITION, { count: 1 }))
      expect(await store.alerts.redriveNotification(FLEET_PARTITION, letter)).toBe('scheduled')
    },
  },
  'set-operator-state': {
    may: 'run',
    call: async ({ store, alert }) =>
      isTrue(await store.alerts.setOperatorState(FLEET_PARTITION, alert, { acknowledged: NOTE }, 1)),
  },
  'set-feedback': {
    may: 'run',
    async call({ store, alert }) {
      const cause = { kind: 'level_shift', value: 1, samples: 20 } as const
      const opening = { id: alert, key: 'a', rule: null, severity: 'warning', opened_at: 5, cause } as const
      isTrue(await store.alerts.setFeedback(FLEET_PARTITION, opening, { ...NOTE, useful: true }))
    },
  },
  'read-aggregates': { may: 'run', call: ({ store }) => store.gateway.aggregates({ partition: 1, key: 'k' }) },
  // Reads only.
  'read-feed': {
    may: 'run',
    call: async ({ store }) => {
      const parts = await store.feed.read([{ partition: 1, stream: 'anomalies', after: '0-0' }], 1000)
      expect(parts).toHaveLength(1)
    },
  },
  'save-storm': {
    may: 'run',
    call: async ({ store, lease }) =>
      isTrue(await store.alerts.saveStorm(lease, { state: '{}', opening: null, end: null })),
  },
  'rules-digest': { may: 'run', call: ({ store }) => store.rules.digest() },
  'replace-rules': {
    may: 'run',
    async call({ store }) {
      const change = { ...NOTE, version: 1, kind: 'storm_put', id: null, content: EMPTY_DOCUMENT.storm } as const
      isTrue(await store.rules.replace({ ...EMPTY_DOCUMENT, version: 1 }, change, ''))
    },
  },
  'begin-audit': { may: 'run', call: ({ store }) => store.audit.begin(INTENT) },
  'end-audit': { may: 'run', call: ({ store }) => store.audit.end('1-1', { status: 200 }) },
  // A leaked key must be revoked then too.
  'change-api-key': {
    may: 'run',
    call: async ({ store }) => isTrue((await store.apiKeys.add(createApiKey(API_KEY).record)) === 'added'),
  },
  // Gateways limit by their own share then.
  'take-tokens': {
    may: 'be refused',
    call: ({ store }) => store.limits.take({ name: 'a', perS: 1, burst: 10 }, { cost: 1, ahead: 1 }),
  },
  'advance-total': {
    may: 'be refused',
    call: ({ store }) => store.totals.advance('a', { time: 1, count: 1, sum: 1 }),
  },
  'report-process': {
    may: 'run',
    async call({ store }) {
      const own = { name: 'a', instance: 'i', content: '{}' }
      isTrue((await store.processes.report(own, LONG_MS))?.length === 1)
    },
  },
}

async function outcomeOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => 'run',
    error => (String(error.message).startsWith('OOM ') ? 'be refused' : error),
  )
}

/** A script that ran must have done its work. */
function isTrue(done: boolean): void {
  expect(done).toBe(true)
}

const SENTENCE = 'only appends are refused: analyzers continue, others take over, and reads work'

describe.skipIf(!(await redisAvailable()))('at the memory limit of Redis', () => {
  let redis: RedisFixture
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis[Symbol.asyncDispose]())

  test(SENTENCE, () => expectOnlyAppendsRefused(redis.url, [redis]))

  test('what each script may do is declared', () => {
    expect(Object.keys(AT_LIMIT).toSorted()).toEqual(scriptNames().toSorted())
  })

  test.each(scriptNames())('%s does what is declared for it', async name => {
    await using stack = new AsyncDisposableStack()
    const store = stack.use(await openOn(redis.url, `limit-${name}`))
    const client = stack.adopt(rawClient(redis.url), one => one.disconnect())
    const situation = await prepare(store)
    const { may, call } = AT_LIMIT[name] ?? { may: 'undeclared', call: () => Promise.resolve() }
    // A script that Redis has cached after the call is one that the call has sent.
    await client.script('FLUSH', 'SYNC')
    await limitMemory([redis], '1mb')
    const outcome = await outcomeOf(call(situation))
    await limitMemory([redis], '0')
    if (may === 'be refused') expect(await outcomeOf(call(situation))).toBe('run')
    expect([outcome, await client.script('EXISTS', readScript(name).sha)]).toEqual([may, [1]])
  })

  test('a script without a command that writes is declared as such, so it runs on replicas too', async () => {
    await using stack = new AsyncDisposableStack()
    const client = stack.adopt(rawClient(redis.url), one => one.disconnect())
    for (const name of scriptNames()) {
      const { lua } = readScript(name)
      const commands = [...lua.matchAll(/redis\.p?call\('(\w+)'(?:, '(\w+)')?/g)].flatMap(
        // Of a command with subcommands, each has its own flags.
        ([, command = '', sub]) => (sub === undefined ? [command] : [command, `${command}|${sub}`]),
      )
      const infos = (await client.call('COMMAND', 'INFO', ...commands)) as ([string, number, string[]] | null)[]
      const writes = infos.some(info => info?.[2].includes('write'))
      expect([name, lua.startsWith('#!lua flags=no-writes\n')]).toEqual([name, !writes])
    }
  })
})

describe.skipIf(!(await redisClusterAvailable()))('at the memory limit of every node of a cluster', () => {
  test(SENTENCE, async () => {
    await using cluster = await startRedisCluster()
    await expectOnlyAppendsRefused(cluster.url, cluster.nodes)
  })
})
