import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Entry } from '@tidemark/shared/sample/entry'
import type { Checkpoint } from '@tidemark/shared/store/ports/commit'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Store } from '@tidemark/shared/store/ports/store'
import { CheckedTransactions } from '@tidemark/shared/store/redis/checked-transaction'
import { REDIS_STORE_DEFAULTS, type RedisStoreOptions } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { Command } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { redisAvailable, redisClusterAvailable, startRedis, startRedisCluster } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'
import { append, appendAndRead, commitOf, keyUpdate, own, readNow } from '../../src/store-contract/harness.ts'

const READY = "return {'ready'}"
const ZERO = { id: '0-0', offset: 0 }

/** Repeats until the store has reconnected. */
async function appendAndReadAgain(store: Store): Promise<readonly Entry[]> {
  for (;;) {
    try {
      return await appendAndRead(store, 0, 1)
    } catch {
      await pause(20)
    }
  }
}

async function open(settings: Partial<RedisStoreOptions> = {}) {
  await using opening = new AsyncDisposableStack()
  const redis = opening.use(await startRedis())
  const client = opening.adopt(rawClient(redis.url), one => one.disconnect())
  const failures: string[] = []
  const options = {
    ...REDIS_STORE_DEFAULTS,
    ...{ url: redis.url, partitions: 1, transactionKeys: 2 },
    onFailure: (error: Error) => failures.push(error.message),
    ...settings,
  }
  const transactions = opening.use(new CheckedTransactions(options))
  const resources = opening.move()
  return {
    ...{ redis, client, options, transactions, failures },
    /** Sets `written` if the check lets it; the check may write to `watched`. */
    run: (check = READY, more: readonly Command[] = []) =>
      transactions.run(() => ({
        watched: ['watched'],
        check: new Command('eval', [check, '1', 'watched'], { replyEncoding: 'utf8' }),
        commands: [new Command('hset', ['written', 'field', 'value']), ...more],
      })),
    written: () => client.hgetall('written'),
    /** How often commands were called. */
    async calls(name: string): Promise<number> {
      const stats = String(await client.call('INFO', 'commandstats'))
      return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

describe.skipIf(!(await redisAvailable()))('a checked transaction', () => {
  test('executes its commands when the check is ready', async () => {
    await using under = await open()
    expect(await under.run()).toEqual([1])
    expect(await under.written()).toEqual({ field: 'value' })
  })

  test('does nothing when the check refuses, and the next one is not affected', async () => {
    await using under = await open()
    for (const check of ["return {'stale', '1-1'}", 'return {}', "return 'ready'", 'return false']) {
      expect([check, await under.run(check)]).toEqual([check, undefined])
    }
    expect(await under.written()).toEqual({})
    expect(under.failures).toEqual([])
    expect(await under.run()).toEqual([1])
  })

  test('does nothing when the check fails', async () => {
    await using under = await open()
    expect(await under.run('return redis.call("GET")')).toBeUndefined()
    expect(under.failures).toHaveLength(1)
    // The script will be sent with its text.
    expect(await under.run("return redis.error_reply('-NOSCRIPT none')")).toBeUndefined()
    expect(under.failures).toHaveLength(1)
    expect(await under.written()).toEqual({})
  })

  test('does nothing when a watched key changes after it is watched', async () => {
    await using under = await open()
    expect(await under.run("redis.call('SET', KEYS[1], 1) return {'ready'}")).toBeUndefined()
    expect(await under.run("redis.call('PEXPIRE', KEYS[1], 60000) return {'ready'}")).toBeUndefined()
    expect(await under.written()).toEqual({})
    expect(under.failures).toEqual([])
    expect(await under.run()).toEqual([1])
  })

  test('does nothing when a command cannot be queued', async () => {
    await using under = await open()
    expect(await under.run(READY, [new Command('hset', ['too', 'few'])])).toBeUndefined()
    expect(await under.written()).toEqual({})
    expect(await under.run()).toEqual([1])
  })

  test('rejects when a command fails: the others were executed', async () => {
    await using under = await open()
    await under.client.set('text', 'x')
    await expect(under.run(READY, [new Command('hset', ['text', 'a', 'b'])])).rejects.toThrow('WRONGTYPE')
    expect(await under.run()).toEqual([0])
  })

  test.each(['watch', 'multi', 'exec', 'discard', 'hset'])('does nothing without the right to %s', async command => {
    await using under = await open()
    await under.client.call('ACL', 'SETUSER', 'default', `-${command}`)
    // Refused, so that DISCARD is needed too.
    await under.run('return {}')
    expect(await under.run()).toBeUndefined()
    expect(await under.run()).toBeUndefined()
    await under.client.call('ACL', 'SETUSER', 'default', '+@all')
    expect(await under.written()).toEqual({})
    expect(under.failures.length).toBeLessThanOrEqual(1)
  })

  test('does nothing without Redis, and those that wait do not wait for it', async () => {
    await using under = await open()
    expect(await under.run()).toEqual([1])
    await under.redis[Symbol.asyncDispose]()
    const begin = performance.now()
    expect(await Promise.all(Array.from({ length: 40 }, () => under.run()))).toEqual(new Array(40).fill(undefined))
    expect(performance.now() - begin).toBeLessThan(5000)
  })

  test('a connection that is opened while it is disposed of is closed', async () => {
    await using under = await open()
    const clients = async () =>
      String(await under.client.call('CLIENT', 'LIST'))
        .trim()
        .split('\n').length
    const before = await clients()
    const running = under.run()
    under.transactions[Symbol.dispose]()
    expect(await running).toBeUndefined()
    await expect.poll(clients).toBe(before)
  })

  test('those that wait for a Redis that does not reply fail with it', async () => {
    await using under = await open({ commandTimeoutMs: 300 })
    expect(await under.run()).toEqual([1])
    const begin = performance.now()
    await under.client.call('CLIENT', 'PAUSE', 1500, 'ALL')
    const outcomes = await Promise.allSettled(Array.from({ length: 12 }, () => under.run()))
    expect(performance.now() - begin).toBeLessThan(1300)
    expect(outcomes.filter(({ status }) => status === 'rejected').length).toBeGreaterThanOrEqual(3)
    expect(outcomes.flatMap(one => (one.status === 'fulfilled' ? [one.value] : [])).filter(Boolean)).toEqual([])
    await expect.poll(() => under.run().catch(() => undefined), { timeout: 5000 }).toEqual([0])
  })

  test('goes on after Redis closed its connection', async () => {
    await using under = await open()
    expect(await under.run()).toEqual([1])
    await under.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await expect.poll(() => under.run()).toEqual([0])
  })

  test('many at a time are all executed', async () => {
    await using under = await open()
    const all = await Promise.all(Array.from({ length: 50 }, () => under.run()))
    expect(all.flat().toSorted()).toEqual([...new Array(49).fill(0), 1])
  })
})

describe.skipIf(!(await redisClusterAvailable()))('in a cluster', () => {
  test('a commit of many keys is a transaction on the node that has its partition', async () => {
    await using redis = await startRedisCluster({ masters: 3 })
    const failures: string[] = []
    await using store = await openRedisStore({
      ...REDIS_STORE_DEFAULTS,
      ...{ url: redis.url, cluster: true, partitions: 6, transactionKeys: 1 },
      onFailure: error => failures.push(error.message),
    })
    // Scripts at first: the slots are not known, and then Redis does not know the script.
    let checkpoints = new Map<number, Checkpoint>()
    const leases = new Map<number, Lease>()
    for (const partition of [0, 1, 2, 3, 4, 5]) leases.set(partition, await own(store, partition))
    for (let round = 1; round <= 3; round++) {
      const reached = new Map<number, Checkpoint>()
      for (const [partition, lease] of leases) {
        const entries = await appendAndRead(store, partition, 1)
        const commit = commitOf(checkpoints.get(partition) ?? ZERO, entries, { keys: [keyUpdate('a', round)] })
        expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
        reached.set(partition, commit.to)
      }
      checkpoints = reached
    }
    let executed = 0
    for (const url of redis.url.split(',')) {
      const client = rawClient(url)
      const stats = String(await client.call('INFO', 'commandstats'))
      client.disconnect()
      executed += Number(/cmdstat_exec:calls=(\d+)/.exec(stats)?.[1] ?? 0)
    }
    expect(executed).toBeGreaterThanOrEqual(6)
    expect(failures).toEqual([])
  })
})

describe.skipIf(!(await redisAvailable()))('a commit of many keys', () => {
  test('is a transaction; one of few keys, or of none, is a script', async () => {
    await using under = await open()
    await using store = await openRedisStore(under.options)
    const lease = await own(store, 0)
    const few = await appendAndRead(store, 0, 1)
    expect(await store.analyzer.commit(lease, commitOf(ZERO, few, { keys: [keyUpdate('a')] }))).toMatchObject({
      kind: 'ok',
    })
    expect(await under.calls('exec')).toBe(0)
    const many = await appendAndRead(store, 0, 1)
    const keys = [keyUpdate('a', 2), keyUpdate('b', 2), keyUpdate('c', 2)]
    const commit = commitOf({ id: few[0]?.id ?? '', offset: 1 }, many, { keys })
    expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
    expect(await under.calls('exec')).toBe(1)
    expect((await under.client.hkeys('tm:{0}:last_analysis')).toSorted()).toEqual(['a', 'b', 'c'])
    // Sent again, as after a reply that was lost.
    expect(await store.analyzer.commit(lease, commit)).toEqual({ kind: 'already' })
    expect(await store.analyzer.commit({ ...lease, token: 'other' }, commit)).toEqual({ kind: 'fenced' })
    expect(await under.calls('exec')).toBe(1)
    expect(under.failures).toEqual([])
  })

  test('a right that the script lacks leaves nothing half done', async () => {
    await using under = await open()
    await using store = await openRedisStore(under.options)
    const lease = await own(store, 0)
    const entries = await appendAndRead(store, 0, 1)
    const commit = commitOf(ZERO, entries, { keys: [keyUpdate('a'), keyUpdate('b')] })
    await under.client.call('SCRIPT', 'FLUSH')
    await expect(store.analyzer.commit({ ...lease, token: 'other' }, commit)).resolves.toEqual({ kind: 'fenced' })
    await under.client.call('ACL', 'SETUSER', 'default', '-xack')
    await expect(store.analyzer.commit(lease, commit)).rejects.toThrow('NOPERM')
    await under.client.call('ACL', 'SETUSER', 'default', '+@all')
    expect(await under.client.hkeys('tm:{0}:last_analysis')).toEqual([])
    expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
  })

  test('goes where the other requests go: its connections end with theirs', async () => {
    await using under = await open()
    await using store = await openRedisStore(under.options)
    const lease = await own(store, 0)
    const few = await appendAndRead(store, 0, 1)
    const first = commitOf(ZERO, few, { keys: [keyUpdate('a')] })
    expect(await store.analyzer.commit(lease, first)).toMatchObject({ kind: 'ok' })
    const many = await appendAndRead(store, 0, 1)
    const second = commitOf(first.to, many, { keys: [keyUpdate('a'), keyUpdate('b')] })
    expect(await store.analyzer.commit(lease, second)).toMatchObject({ kind: 'ok' })
    const clients = async () =>
      String(await under.client.call('CLIENT', 'LIST'))
        .split('\n')
        .map(line => ({ id: /\bid=(\d+)/.exec(line)?.[1] ?? '', command: /\bcmd=(\S+)/.exec(line)?.[1] }))
    const of = async (command: string) => (await clients()).filter(one => one.command === command)
    expect(await of('exec')).toHaveLength(1)
    for (const { id } of await of('evalsha')) await under.client.call('CLIENT', 'KILL', 'ID', id)
    await expect.poll(() => of('exec')).toEqual([])
    const third = commitOf(second.to, await appendAndReadAgain(store), { keys: [keyUpdate('a'), keyUpdate('b')] })
    await expect.poll(() => store.analyzer.commit(lease, third).catch(() => null)).toMatchObject({ kind: 'ok' })
  })

  test('falls back to the script when Redis has dropped it', async () => {
    await using under = await open()
    await using store = await openRedisStore(under.options)
    const lease = await own(store, 0)
    await append(store, 0, 1)
    const entries = await readNow(store, 0)
    await under.client.call('SCRIPT', 'FLUSH')
    const keys = [keyUpdate('a'), keyUpdate('b')]
    expect(await store.analyzer.commit(lease, commitOf(ZERO, entries, { keys }))).toMatchObject({ kind: 'ok' })
    expect((await under.client.hkeys('tm:{0}:last_analysis')).toSorted()).toEqual(['a', 'b'])
  })
})
