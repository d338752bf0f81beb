import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { redisAvailable, redisClusterAvailable, startRedis } from '../../src/redis-fixture.ts'

const FIXTURE = new URL('../../src/redis-fixture.ts', import.meta.url).href

describe.skipIf(!(await redisAvailable()))('a Redis for tests', () => {
  test('responds at its address and reports its version', async () => {
    await using redis = await startRedis()
    expect(await ask(redis.url, client => client.ping())).toBe('PONG')
    expect(redis.version).toMatch(/^(Redis|Valkey) \d+\.\d+/)
  })

  test.each(['stop', 'kill'] as const)('keeps address and data over %s and start', async how => {
    await using redis = await startRedis()
    await ask(redis.url, client => client.set('k', 'v'))
    await redis[how]()
    await expect(ask(redis.url, client => client.ping())).rejects.toThrow()
    await redis.start()
    await redis.start()
    expect(await ask(redis.url, client => client.get('k'))).toBe('v')
  })

  test('takes arguments, of which the last one wins', async () => {
    await using redis = await startRedis({ args: ['--appendonly', 'no', '--maxmemory', '7mb'] })
    expect(await ask(redis.url, client => client.config('GET', 'maxmemory'))).toContain('7340032')
    expect(await ask(redis.url, client => client.config('GET', 'appendonly'))).toContain('no')
  })

  test('is removed when it is disposed, even after it was stopped', async () => {
    const redis = await startRedis()
    const { url } = redis
    await redis.stop()
    await redis[Symbol.asyncDispose]()
    await expect(ask(url, client => client.ping())).rejects.toThrow()
  })
})

describe.skipIf(!(await redisClusterAvailable()))('a Redis process for tests', () => {
  test('does not outlive a test process that is killed', async () => {
    const script = `const { startRedis } = await import(${JSON.stringify(FIXTURE)})
      const redis = await startRedis({ which: process.env.WHICH })
      console.log(redis.url)
      setInterval(() => {}, 1000)`
    const which = process.env.TIDEMARK_TEST_REDIS === 'valkey-server' ? 'valkey-server' : 'redis-server'
    const owner = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, WHICH: which },
    })
    const [url = ''] = await once(createInterface(owner.stdout), 'line')
    expect(await ask(url, client => client.ping())).toBe('PONG')
    owner.kill('SIGKILL')
    await expect.poll(() => ask(url, client => client.ping()).catch(() => 'gone')).toBe('gone')
  })
})

async function ask<T>(url: string, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: null })
  client.on('error', () => {})
  try {
    await client.connect()
    return await question(client)
  } finally {
    client.disconnect()
  }
}
