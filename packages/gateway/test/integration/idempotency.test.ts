import { once } from 'node:events'
import { createServer, type Server, type Socket, connect as tcpConnect } from 'node:net'
import { openStore } from '@tidemark/shared/store/open'
import { type RedisFixture, redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { gatewaySchema } from '../../src/config.ts'
import { type Gateway, startGateway } from '../../src/gateway.ts'

const log = pino({ level: 'silent' })

/** A gateway in this process on the Redis at `url`. */
async function start(url: string): Promise<Gateway> {
  const gateway = await startGateway({
    config: gatewaySchema.parse({ HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0' }),
    openStore: signal => openStore({ redis: { url, partitions: 4, commandTimeoutMs: 2000 }, log, signal }),
    log,
    registry: new Registry(),
  })
  await expect.poll(async () => (await fetch(at(gateway, '/readyz'))).status).toBe(200)
  return gateway
}

const at = ({ port }: Gateway, path: string): string => `http://127.0.0.1:${port}${path}`

async function post(gateway: Gateway, key: string, body: string): Promise<{ status: number; text: string }> {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': `"${key}"` }
  const response = await fetch(at(gateway, '/ingest'), { method: 'POST', body, headers })
  return { status: response.status, text: await response.text() }
}

/** Values that are unique to a request. */
function bodyOf(request: number): string {
  return JSON.stringify(Array.from({ length: 8 }, (_, i) => ({ key: `k${i}`, value: 100 * request + i })))
}

/** Every value in the streams, and the counters. */
async function stored(redis: RedisFixture): Promise<{ values: number[]; accepted: number }> {
  const client = rawClient(redis.url)
  try {
    const values: number[] = []
    let accepted = 0
    for (let partition = 0; partition < 4; partition++) {
      accepted += Number((await client.get(`tm:{${partition}}:accepted`)) ?? 0)
      for (const [, fields] of await client.xrange(`tm:{${partition}}:samples`, '-', '+')) {
        const flat: unknown[] = JSON.parse(fields[fields.indexOf('s') + 1] ?? '[]')
        values.push(...flat.filter((_, i) => i % 3 === 1).map(Number))
      }
    }
    return { values: values.sort((a, b) => a - b), accepted }
  } finally {
    client.disconnect()
  }
}

/**
 * Passes everything on to Redis, and cuts connections after an append was forwarded and before its
 * reply comes back.
 */
interface Cutter extends AsyncDisposable {
  readonly url: string
  /** Whether the next append's reply is cut off. */
  isArmed: boolean
  cuts: number
}

async function startCutter(redisPort: number): Promise<Cutter> {
  const sockets = new Set<Socket>()
  const cutter = { url: '', isArmed: false, cuts: 0, [Symbol.asyncDispose]: async () => {} }
  const server: Server = createServer(client => {
    const redis = tcpConnect(redisPort, '127.0.0.1')
    let isCut = false
    for (const socket of [client, redis]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        redis.destroy()
        sockets.delete(socket)
      })
    }
    client.on('data', chunk => {
      // The mark of an append: the key of the entries is among the arguments.
      if (cutter.isArmed && chunk.includes(':samples')) {
        isCut = true
        cutter.isArmed = false
        cutter.cuts++
      }
      redis.write(chunk)
    })
    redis.on('data', chunk => {
      if (isCut) client.destroy()
      else client.write(chunk)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  cutter.url = `redis://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  cutter[Symbol.asyncDispose] = async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return cutter
}

describe.skipIf(!(await redisAvailable()))('keyed requests on a real Redis', () => {
  test('are stored once when retried through two gateways at once, during and after lost connections', async () => {
    await using redis = await startRedis()
    await using cutter = await startCutter(redis.port)
    await using cut = await start(cutter.url)
    await using direct = await start(redis.url)
    const requests = 25
    let refused = 0

    for (let request = 0; request < requests; request++) {
      const key = `request ${request}`
      cutter.isArmed = true
      const lost = await post(cut, key, bodyOf(request))
      expect(lost.status).toBe(503)
      refused++
      const answers = await Promise.all([
        post(direct, key, bodyOf(request)),
        post(direct, key, bodyOf(request)),
        // Its store may still be reconnecting to Redis, which is a 503.
        post(cut, key, bodyOf(request)),
      ])
      const good = answers.filter(({ status }) => status === 202)
      expect(good.length).toBeGreaterThanOrEqual(2)
      expect(new Set(good.map(({ text }) => text)).size).toBe(1)
      expect(JSON.parse(good[0]?.text ?? '')).toMatchObject({ accepted: 8, rejected: [] })
      expect((await post(direct, key, bodyOf(request + 1))).status).toBe(422)
      await expect.poll(async () => (await post(cut, key, bodyOf(request))).text).toBe(good[0]?.text)
    }

    expect(cutter.cuts).toBe(requests)
    expect(refused).toBe(requests)
    const wanted = Array.from({ length: requests }, (_, request) =>
      Array.from({ length: 8 }, (_, i) => 100 * request + i),
    )
    expect(await stored(redis)).toEqual({ values: wanted.flat(), accepted: 8 * requests })
  })

  test('are remembered across a restart of Redis, and take little memory', async () => {
    await using redis = await startRedis()
    await using gateway = await start(redis.url)
    const first = await post(gateway, 'a', bodyOf(1))
    await redis.kill()
    expect((await post(gateway, 'a', bodyOf(1))).status).toBe(503)
    await redis.start()
    await expect.poll(async () => (await post(gateway, 'a', bodyOf(1))).status).toBe(202)
    expect(await post(gateway, 'a', bodyOf(1))).toEqual(first)
    expect(await stored(redis)).toMatchObject({ accepted: 8 })

    const count = 2000
    for (let i = 0; i < count; i += 50) {
      await Promise.all(
        Array.from({ length: 50 }, (_, j) => post(gateway, `key number ${i + j}`, `{"key":"a","value":${i}}`)),
      )
    }
    const client = rawClient(redis.url)
    let bytes = 0
    let records = 0
    for (let partition = 0; partition < 4; partition++) {
      for (const name of ['requests', 'request_times']) {
        const key = `tm:{${partition}}:${name}`
        bytes += Number(await client.call('MEMORY', 'USAGE', key, 'SAMPLES', '0'))
        expect(await client.pttl(key)).toBeGreaterThan(0)
      }
      records += await client.zcard(`tm:{${partition}}:request_times`)
    }
    client.disconnect()
    expect(records).toBeGreaterThanOrEqual(2 * count)
    expect(bytes / records).toBeLessThan(300)
  })
})
