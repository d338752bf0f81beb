import { HttpError, InfluxDB, Point, setLogger } from '@influxdata/influxdb-client'
import { HealthAPI, PingAPI } from '@influxdata/influxdb-client-apis'
import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'

interface Analysed {
  readonly key: string
  readonly value: number
  readonly timestamp: number
}

/** Returns the newest analysis of every key, by key. */
async function analysed(port: number): Promise<Map<string, Analysed>> {
  const found = new Map<string, Analysed>()
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const response = await fetch(`http://127.0.0.1:${port}/analyze?limit=1000${page}`)
    expect(response.status).toBe(200)
    const body = (await response.json()) as { analyses: Analysed[]; cursor: string | null }
    for (const analysis of body.analyses) found.set(analysis.key, analysis)
    cursor = body.cursor
  }
  return found
}

// The client logs every attempt that fails.
setLogger({ error() {}, warn() {} })

describe.skipIf(!(await redisAvailable()))('the client of InfluxDB', () => {
  test('pings, writes in every precision, and learns which line was rejected', async () => {
    await using stack = new AsyncDisposableStack()
    const { url: REDIS_URL } = stack.use(await startRedis())
    const { port } = stack.use(await startGateway({ REDIS_URL }))
    stack.use(await startAnalyzer({ REDIS_URL }))
    const influx = new InfluxDB({ url: `http://127.0.0.1:${port}`, token: 'any' })
    expect(await new HealthAPI(influx).getHealth()).toMatchObject({ status: 'pass' })
    await new PingAPI(influx).getPing()

    const time = Date.now() - 60_000
    const times = { ns: BigInt(time) * 1_000_000n, us: time * 1000, ms: time, s: Math.floor(time / 1000) } as const
    for (const precision of ['ns', 'us', 'ms', 's'] as const) {
      // Larger bodies than 1,000 bytes are compressed.
      const writer = influx.getWriteApi('org', 'bucket', precision, { gzipThreshold: 100, maxRetries: 0 })
      for (let i = 0; i < 20; i++) {
        const point = new Point(`m,${precision}`)
          .tag('room', `a b=${i}`)
          .floatField('v', i / 4)
          .intField('n', i)
          .uintField('u', i)
          .booleanField('ok', i % 2 === 0)
          .stringField('text', 'x "y" \\ z\nw')
          .timestamp(precision === 'ns' ? String(times.ns) : times[precision])
        writer.writePoint(point)
      }
      await writer.close()
    }
    const keys = await eventually(async () => {
      const found = await analysed(port)
      expect(found.size).toBe(4 * 20 * 4)
      return found
    })
    for (const precision of ['ns', 'us', 'ms', 's'] as const) {
      const head = `m%2C${precision},room=a b=7`
      const wanted = { v: 1.75, n: 7, u: 7, ok: 0 }
      for (const [field, value] of Object.entries(wanted)) {
        const timestamp = precision === 's' ? times.s * 1000 : time
        expect(keys.get(`${head}.${field}`)).toMatchObject({ value, timestamp })
      }
    }

    const failures: Error[] = []
    const writer = influx.getWriteApi('org', 'bucket', 'ms', {
      maxRetries: 0,
      writeFailed: error => {
        failures.push(error)
      },
    })
    writer.writeRecords(['good v=1', 'bad', 'good v=2'])
    await expect(writer.close()).rejects.toThrow('partial write: line 2: unable to parse "bad"')
    const [failure] = failures
    expect(failure).toBeInstanceOf(HttpError)
    expect(failure).toMatchObject({ statusCode: 400, code: 'invalid' })
    await eventually(async () => expect((await analysed(port)).get('good.v')).toMatchObject({ value: 2 }))
  })

  test('retries what a gateway without Redis refuses, and nothing is lost or stored twice', async () => {
    await using stack = new AsyncDisposableStack()
    const redis = stack.use(await startRedis())
    const { port } = stack.use(await startGateway({ REDIS_URL: redis.url, STORE_TIMEOUT_MS: '500' }))
    stack.use(await startAnalyzer({ REDIS_URL: redis.url }))
    const influx = new InfluxDB({ url: `http://127.0.0.1:${port}` })
    const writer = influx.getWriteApi('org', 'bucket', 'ms', {
      batchSize: 10,
      flushInterval: 50,
      maxRetries: 50,
      minRetryDelay: 100,
      maxRetryDelay: 1000,
      maxRetryTime: 300_000,
    })
    writer.writePoint(new Point('m').floatField('v', 0))
    await writer.flush(true)
    await redis.stop()
    for (let i = 1; i <= 100; i++) writer.writePoint(new Point('m').tag('i', String(i)).floatField('v', i))
    await eventually(async () => {
      const refused = await fetch(`http://127.0.0.1:${port}/api/v2/write`, { method: 'POST', body: 'probe v=1' })
      expect(refused.status).toBe(503)
      expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(0)
    })
    await redis.start()
    // Closing alone drops what waits for a retry, and a flush rejects with the first failure.
    await eventually(() => writer.flush(true))
    await writer.close()
    await eventually(async () => {
      const found = await analysed(port)
      for (let i = 1; i <= 100; i++) expect(found.get(`m,i=${i}.v`)).toMatchObject({ value: i, count: 1 })
    })
  })
})
