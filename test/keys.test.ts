import { keysUnder } from '@tidemark/shared/store/keys'
import { eventually } from '@tidemark/testkit/eventually'
import { type RedisFixture, redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { Client } from '@tidemark/tools/stack/client'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'

const PARTITIONS = 4

const bodyOf = (keys: readonly string[], value = 1): string => JSON.stringify(keys.map(key => ({ key, value })))

async function metricOf(client: Client, line: string): Promise<number> {
  const text = await (await client.get('/metrics')).text()
  const value = text.split('\n').find(one => one.startsWith(`${line} `))
  return Number(value?.slice(line.length + 1))
}

/** Counts the fields of a hash over all partitions. */
async function fieldsOf(redis: RedisFixture, name: 'keys' | 'windows' | 'lastAnalysis'): Promise<number> {
  const client = rawClient(redis.url)
  const { partition } = keysUnder('tm')
  const counts = Array.from({ length: PARTITIONS }, (_, number) => client.hlen(partition(number)[name]))
  const sum = (await Promise.all(counts)).reduce((total, count) => total + count, 0)
  client.disconnect()
  return sum
}

describe.runIf(await redisAvailable())('keys', () => {
  const FLOOD = 1_000_000
  const KEYS_MAX = 5000
  const PER_REQUEST = 10_000

  test('1,000,000 random keys of one device leave Redis within its limit, and everybody else unaffected', {
    timeout: 300_000,
  }, async () => {
    await using redis = await startRedis({ args: ['--maxmemory', '64mb', '--maxmemory-policy', 'noeviction'] })
    const env = { REDIS_URL: redis.url, PARTITIONS: String(PARTITIONS), KEYS_MAX: String(KEYS_MAX) }
    await using gateway = await startGateway(env)
    await using _analyzer = await startAnalyzer({ REDIS_URL: redis.url, VERDICTS_KEPT: '1000' })
    const client = new Client(gateway.port)
    const known = Array.from({ length: 50 }, (_, n) => `edge-${n}/rps`)
    let posts = 0
    async function postKnown(): Promise<void> {
      const response = await client.post(bodyOf(known, posts % 7))
      expect([response.status, await response.json()]).toMatchObject([202, { accepted: known.length, rejected: [] }])
      posts++
    }
    await postKnown()
    for (let sent = 0; sent < FLOOD; sent += PER_REQUEST) {
      const random = Array.from({ length: PER_REQUEST }, (_, n) => `noisy/${(sent + n).toString(36)}`)
      const [response] = await Promise.all([client.post(bodyOf(random)), postKnown()])
      expect([202, 403]).toContain(response.status)
      await response.arrayBuffer()
    }
    expect(await fieldsOf(redis, 'keys')).toBe(KEYS_MAX)
    const admitted = KEYS_MAX - known.length
    expect(await metricOf(client, 'gateway_samples_rejected_total{reason="keys_max"}')).toBe(FLOOD - admitted)
    for (const key of known) await eventually(async () => expect((await client.analysis(key)).count).toBe(posts))
    expect(await fieldsOf(redis, 'windows')).toBe(KEYS_MAX)
    const raw = rawClient(redis.url)
    const memory = await raw.info('memory')
    raw.disconnect()
    const [used, max] = ['used_memory', 'maxmemory'].map(name =>
      Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(memory)?.[1]),
    )
    expect(used).toBeLessThan(max ?? 0)
  })

  test('idle keys are evicted once while analyzers are killed; firing and busy ones stay until deleted', {
    timeout: 300_000,
  }, async () => {
    await using redis = await startRedis()
    const gatewayEnv = { REDIS_URL: redis.url, PARTITIONS: String(PARTITIONS) }
    const env = { REDIS_URL: redis.url, KEY_IDLE_TTL: '8s', LEASE_TTL_MS: '1000' }
    await using gateway = await startGateway(gatewayEnv)
    const client = new Client(gateway.port)
    await using stack = new AsyncDisposableStack()
    const killed = await startAnalyzer(env)
    stack.use(await startAnalyzer(env))
    const idle = Array.from({ length: 500 }, (_, n) => `idle/${n}`)
    const busy = Array.from({ length: 20 }, (_, n) => `busy/${n}`)
    const post = async (keys: readonly string[], value = 1) => {
      expect((await client.post(bodyOf(keys, value))).status).toBe(202)
    }
    await post(idle)
    for (let n = 0; n < 50; n++) await post(['alert/one'], n % 3)
    await post(['alert/one'], 1e6)
    let sent = 0
    let isDone = false
    const traffic = (async () => {
      for (; !isDone; sent++) {
        await post(busy, sent % 5)
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    })()
    stack.defer(async () => {
      isDone = true
      await traffic.catch(() => undefined)
    })
    await eventually(async () => expect(await fieldsOf(redis, 'lastAnalysis')).toBeGreaterThan(500))
    process.kill(killed.pid, 'SIGKILL')
    await killed.child.exited
    stack.use(await startAnalyzer(env))
    await eventually(async () => expect(await fieldsOf(redis, 'keys')).toBe(busy.length + 1))
    isDone = true
    await traffic
    for (const key of busy) await eventually(async () => expect((await client.analysis(key)).count).toBe(sent))
    const alerts = (await (await client.get('/alerts')).json()) as { alerts: { key: string }[] }
    expect(alerts.alerts.map(({ key }) => key)).toEqual(['alert/one'])

    const raw = rawClient(redis.url)
    const evicted = await Promise.all(
      Array.from({ length: PARTITIONS }, (_, n) => raw.hget(keysUnder('tm').partition(n).checkpoint, 'evicted')),
    )
    raw.disconnect()
    expect(evicted.reduce((sum, count) => sum + Number(count), 0)).toBe(idle.length)

    const removed = await fetch(`http://127.0.0.1:${gateway.port}/keys/alert/one`, { method: 'DELETE' })
    expect([removed.status, await removed.json()]).toEqual([200, { deleted: 1, dry_run: false, pending: 0 }])
    const resolved = (await (await client.get('/alerts?state=resolved')).json()) as { alerts: { deleted?: boolean }[] }
    expect(resolved.alerts).toMatchObject([{ key: 'alert/one', resolve_reason: 'no_samples', deleted: true }])
    await post(['alert/one'])
    await eventually(async () => expect((await client.analysis('alert/one')).count).toBe(1))
  })
})
