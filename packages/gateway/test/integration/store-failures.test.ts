import { Writable } from 'node:stream'
import { createLogger } from '@tidemark/shared/runtime/logger'
import { openStore } from '@tidemark/shared/store/open'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { describe, expect, test } from 'vitest'
import { post, send, start } from '../support/server.ts'

describe.runIf(await redisAvailable())('a Redis user', () => {
  test.each([
    ['without EVALSHA and EVAL', '-evalsha -eval', /denies the command EVALSHA .*NOPERM/],
    ['without XADD', '-xadd', /denies a command of a script .*NOPERM/],
  ])('%s: every ingest is 503, and the log says why once', async (_, denied, named) => {
    await using redis = await startRedis()
    const lines: Record<string, unknown>[] = []
    const stream = new Writable({
      write(chunk, _encoding, done) {
        lines.push(JSON.parse(String(chunk)))
        done()
      },
    })
    const log = createLogger('gateway', 'info', { stream })
    const gateway = await start(
      {},
      signal =>
        openStore({
          redis: { url: redis.url, partitions: 2, commandTimeoutMs: 2000 },
          durability: 'memory',
          log,
          signal,
        }),
      log,
    )
    const ingest = () => post(gateway.port, '{"key":"a","value":1}')
    await expect.poll(async () => (await ingest()).status).toBe(202)

    const admin = rawClient(redis.url)
    await admin.call('ACL', 'SETUSER', 'default', ...denied.split(' '))
    admin.disconnect()
    const count = 20
    for (let i = 0; i < count; i++) {
      const { status, headers, body } = await ingest()
      expect([status, Number(headers['retry-after']) > 0]).toEqual([503, true])
      expect(JSON.parse(body).rejected).toHaveLength(1)
    }
    const failures = lines.filter(({ msg }) => msg === 'samples were not stored')
    expect(failures).toMatchObject([{ level: 'warn', kind: 'fatal', err: { message: expect.stringMatching(named) } }])
    const metrics = (await send(gateway.metricsPort, '/metrics')).body
    expect(metrics).toContain(`gateway_store_failures_total{reason="fatal"} ${count}\n`)
    expect(metrics).toContain(`gateway_flushes_failed_total{reason="fatal"} ${count}\n`)
  })
})
