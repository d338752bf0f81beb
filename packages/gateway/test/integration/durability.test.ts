import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { openStore } from '@tidemark/shared/store/open'
import { DurabilityMismatch } from '@tidemark/shared/store/ports/errors'
import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import { eventually } from '@tidemark/testkit/eventually'
import {
  type RedisFixture,
  redisAvailable,
  redisClusterAvailable,
  startRedis,
  startRedisCluster,
} from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { gatewaySchema } from '../../src/config.ts'
import { type Gateway, startGateway } from '../../src/gateway.ts'

interface Started extends AsyncDisposable {
  readonly gateway: Gateway
  /** Log lines of level warn and above. */
  readonly said: string[]
}

/** A gateway in this process that requires `durability` of the Redis at `url`. */
async function start(url: string, durability: DurabilityLevel | 'provided'): Promise<Started> {
  const said: string[] = []
  const log = pino({ level: 'warn' }, { write: line => void said.push(JSON.parse(line).msg) })
  const redis = { url, cluster: url.includes(','), partitions: 4, commandTimeoutMs: 2000 }
  const gateway = await startGateway({
    config: gatewaySchema.parse({ HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0' }),
    openStore: signal => openStore({ redis, durability, log, signal }),
    log,
    registry: new Registry(),
  })
  return { gateway, said, [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose]() }
}

async function post(
  { port }: Gateway,
  { body = '[{"key":"a","value":1},{"key":"b","value":2},{"key":"c","value":3},{"key":"d","value":4}]', key = '' } = {},
) {
  const headers = { 'Content-Type': 'application/json', ...(key === '' ? {} : { 'Idempotency-Key': key }) }
  const response = await fetch(`http://127.0.0.1:${port}/ingest`, { method: 'POST', body, headers })
  const retryAfterS = Number(response.headers.get('retry-after'))
  return { status: response.status, retryAfterS, answer: (await response.json()) as Record<string, unknown> }
}

async function ready(gateway: Gateway): Promise<void> {
  const status = async () => (await fetch(`http://127.0.0.1:${gateway.port}/readyz`)).status
  await expect.poll(status).toBe(200)
}

async function command({ url }: RedisFixture, ...words: [string, ...string[]]): Promise<unknown> {
  const client = rawClient(url)
  try {
    return await client.call(...words)
  } finally {
    client.disconnect()
  }
}

/**
 * Makes `replica` follow `primary`, which it reaches at `port`, and waits until it has caught up.
 */
async function follow(replica: RedisFixture, port: number, primary: RedisFixture): Promise<void> {
  await command(replica, 'REPLICAOF', '127.0.0.1', String(port))
  await followed(primary)
}

async function followed(primary: RedisFixture): Promise<void> {
  const info = async () => String(await command(primary, 'INFO', 'replication'))
  await expect.poll(info).toContain('state=online')
}

interface Way extends AsyncDisposable {
  readonly port: number
  /** While true, data from the primary is held; afterwards all of it is forwarded. */
  isFrozen: boolean
}

/** A proxy between a primary and its replica. */
async function startWay(primaryPort: number): Promise<Way> {
  const sockets = new Set<Socket>()
  const held: { readonly to: Socket; readonly chunk: Buffer }[] = []
  let isFrozen = false
  const server = createServer(replica => {
    const primary = connect(primaryPort, '127.0.0.1')
    for (const socket of [replica, primary]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        replica.destroy()
        primary.destroy()
      })
    }
    replica.on('data', chunk => primary.write(chunk))
    primary.on('data', chunk => {
      if (isFrozen) held.push({ to: replica, chunk })
      else replica.write(chunk)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get isFrozen() {
      return isFrozen
    },
    set isFrozen(next) {
      isFrozen = next
      if (!next) for (const { to, chunk } of held.splice(0)) to.write(chunk)
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

describe.skipIf(!(await redisAvailable()))('durability', () => {
  test('without a required level, responses name what Redis provides, also when that changes', async () => {
    await using redis = await startRedis({ args: ['--appendonly', 'no'] })
    await using started = await start(redis.url, 'provided')
    await ready(started.gateway)
    expect(await post(started.gateway)).toMatchObject({ status: 202, answer: { accepted: 4, durability: 'memory' } })
    expect(started.said).toEqual([expect.stringContaining('appendonly no')])

    const named = async () => (await post(started.gateway)).answer.durability
    await command(redis, 'CONFIG', 'SET', 'appendonly', 'yes')
    await expect.poll(named).toBe('local')
    await command(redis, 'CONFIG', 'SET', 'appendonly', 'no')
    await expect.poll(named).toBe('memory')
  })

  test.each<[DurabilityLevel, string[], string]>([
    ['local', ['--appendonly', 'no'], 'DURABILITY is local, and Redis has appendonly no'],
    ['local', ['--maxmemory-policy', 'allkeys-lru'], 'maxmemory-policy allkeys-lru'],
    ['disk', [], 'appendfsync everysec: set it to always'],
    ['disk', ['--appendonly', 'no'], 'appendonly no'],
    ['replicated', [], 'no replica that is online'],
    ['replicated', [], 'min-replicas-to-write 0'],
  ])('%s is refused by a gateway on a Redis with %j, with a sentence that says why', async (level, args, sentence) => {
    await using redis = await startRedis({ args })
    await using started = await start(redis.url, level)
    await expect(started.gateway.failed).rejects.toThrow(DurabilityMismatch)
    await expect(started.gateway.failed).rejects.toThrow(sentence)
    expect((await post(started.gateway)).status).toBe(503)
  })

  test('disk accepts samples while every write is synced to disk, and rejects them while that is switched off', async () => {
    await using redis = await startRedis({ args: ['--appendfsync', 'always'] })
    await using started = await start(redis.url, 'disk')
    await ready(started.gateway)
    expect(await post(started.gateway)).toMatchObject({ status: 202, answer: { durability: 'disk' } })
    await redis.kill()
    await redis.start()
    await expect.poll(async () => (await post(started.gateway)).status).toBe(202)

    await command(redis, 'CONFIG', 'SET', 'appendfsync', 'everysec')
    await expect.poll(async () => (await post(started.gateway)).status).toBe(503)
    const reason = 'samples are refused: DURABILITY is disk, and Redis has appendfsync everysec'
    expect(started.said).toContainEqual(expect.stringContaining(reason))
    await command(redis, 'CONFIG', 'SET', 'appendfsync', 'always')
    await expect.poll(async () => (await post(started.gateway)).status).toBe(202)
  })

  test('a Redis that restarts with less durability than required gets no samples', async () => {
    await using redis = await startRedis({ args: ['--appendfsync', 'always'] })
    await using started = await start(redis.url, 'disk')
    await ready(started.gateway)
    expect((await post(started.gateway)).status).toBe(202)
    // Another Redis on the same address would do the same: the connection breaks, and what answers
    // then is less.
    await command(redis, 'CONFIG', 'SET', 'appendfsync', 'no')
    await command(redis, 'CLIENT', 'KILL', 'TYPE', 'normal')
    const statuses: number[] = []
    for (const end = performance.now() + 1500; performance.now() < end; )
      statuses.push((await post(started.gateway)).status)
    expect(new Set(statuses)).toEqual(new Set([503]))
  })

  test('settings that Redis does not reveal cause a warning', async () => {
    await using redis = await startRedis({ args: ['--appendfsync', 'always'] })
    await command(redis, 'ACL', 'SETUSER', 'gateway', 'on', '>secret', '~*', '&*', '+@all', '-config')
    await using started = await start(redis.url.replace('://', '://gateway:secret@'), 'disk')
    await ready(started.gateway)
    expect((await post(started.gateway)).status).toBe(202)
    expect(started.said).toEqual([expect.stringContaining('denies CONFIG GET')])
  })

  test('replicated confirms samples that a replica has, rejects them without a replica, and recovers by itself', async () => {
    const args = ['--min-replicas-to-write', '1', '--repl-diskless-sync-delay', '0']
    await using primary = await startRedis({ args })
    await using replica = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] })
    await using way = await startWay(primary.port)
    await follow(replica, way.port, primary)
    await using started = await start(primary.url, 'replicated')
    await ready(started.gateway)
    for (let i = 0; i < 20; i++) {
      expect(await post(started.gateway)).toMatchObject({ status: 202, answer: { durability: 'replicated' } })
      // Confirmed samples are already on the replica.
      const counts = await Promise.all(
        [0, 1, 2, 3].map(async p => Number((await command(replica, 'GET', `tm:{${p}}:accepted`)) ?? 0)),
      )
      expect(counts.reduce((sum, count) => sum + count)).toBe(4 * (i + 1))
    }

    // A replica that hangs: the primary does not know yet and takes the samples, but none confirms
    // them.
    way.isFrozen = true
    const begin = performance.now()
    const unconfirmed = await post(started.gateway, { key: 'kept' })
    expect(unconfirmed).toMatchObject({ status: 503, answer: { accepted: 0, receipts: [] } })
    expect(JSON.stringify(unconfirmed.answer.rejected)).toContain('may or may not be stored')
    expect(unconfirmed.retryAfterS).toBeGreaterThanOrEqual(1)
    expect(performance.now() - begin).toBeGreaterThan(400)
    expect(performance.now() - begin).toBeLessThan(20_000)
    const before = await command(primary, 'XLEN', 'tm:{0}:samples')
    way.isFrozen = false
    await expect.poll(async () => (await post(started.gateway, { key: 'kept' })).status).toBe(202)
    expect(await command(primary, 'XLEN', 'tm:{0}:samples')).toBe(before)

    // Without a replica the primary rejects writes, and so does the gateway.
    await replica.kill()
    expect((await post(started.gateway)).status).toBe(503)
    await expect.poll(() => started.said.at(-1)).toContain('no replica that is online')
    const refused = await post(started.gateway)
    expect(refused.status).toBe(503)
    expect(refused.retryAfterS).toBeGreaterThanOrEqual(1)
    await replica.start()
    await follow(replica, way.port, primary)
    await expect.poll(async () => (await post(started.gateway)).status).toBe(202)
  })
})

describe.skipIf(!(await redisClusterAvailable()))('durability in a cluster', () => {
  test('every primary is checked, each confirms its own partitions, and a failover is survived', {
    timeout: 300_000,
  }, async () => {
    await using cluster = await startRedisCluster({ masters: 3, replicas: 3 })
    for (const node of cluster.nodes) await command(node, 'CONFIG', 'SET', 'min-replicas-to-write', '1')
    const [first, , third] = cluster.nodes
    if (first === undefined || third === undefined) throw new Error('no nodes')
    await command(third, 'CONFIG', 'SET', 'min-replicas-to-write', '0')
    for (const primary of cluster.nodes.slice(0, 3)) await followed(primary)
    {
      await using refused = await start(cluster.url, 'replicated')
      await expect(refused.gateway.failed).rejects.toThrow(
        `Redis at 127.0.0.1:${third.port} has min-replicas-to-write 0`,
      )
    }
    await command(third, 'CONFIG', 'SET', 'min-replicas-to-write', '1')
    await using started = await start(cluster.url, 'replicated')
    await ready(started.gateway)
    const body = JSON.stringify(Array.from({ length: 40 }, (_, value) => ({ key: `k${value}`, value })))
    const expectTaken = async (): Promise<void> => {
      const { status, answer } = await post(started.gateway, { body })
      expect({ status, ...answer }).toMatchObject({ status: 202, accepted: 40, durability: 'replicated' })
    }
    // On a busy machine a replica may confirm too late. That is a 503, not a fault.
    for (let i = 0; i < 10; i++) await eventually(expectTaken)

    // A primary fails; its replica takes over, and has no replica of its own: its partitions are
    // refused, and only these.
    await first.kill()
    // It would stay primary if it returned before it lost its slots: they end its line.
    const lineOf = async (port: number): Promise<string | undefined> =>
      String(await command(third, 'CLUSTER', 'NODES'))
        .split('\n')
        .find(line => line.includes(`:${port}@`))
    await expect.poll(() => lineOf(first.port)).toMatch(/\bmaster,fail .* disconnected$/)
    const refused = { accepted: 0 }
    await expect
      .poll(async () => {
        const { status, answer } = await post(started.gateway, { body })
        refused.accepted = Number(answer.accepted)
        return status
      })
      .toBe(503)
    expect(refused.accepted).toBeGreaterThan(0)
    // The lost node returns as a replica of the new primary, and all samples are accepted again.
    await first.start()
    await eventually(expectTaken)
  })
})
