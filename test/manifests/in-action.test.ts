import { execFileSync } from 'node:child_process'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { type RunningRedis, redisClusterAvailable } from '@tidemark/testkit/redis-fixture'
import { startRedisProcess } from '@tidemark/testkit/redis-process'
import { findServer } from '@tidemark/tools/stack/redis'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import type { IContainer, IProbe } from 'kubernetes-models/v1'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { build, canBuild } from './build.ts'
import { type Manifest, ofKind } from './manifest.ts'
import { container } from './mutations.ts'

const PASSWORD = 'of-the-secret'

/** Valkey's, on a computer that has that instead. */
const server = findServer() ?? 'redis-server'

/** A service says within so long that Redis is away, and that it is back. */
const NOTICED_WITHIN_MS = 15_000

const PROBES = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const
type ProbeName = (typeof PROBES)[number]

/** The base's settings and probes, with the services as processes and a Redis that is run as the StatefulSet runs it. */
describe.skipIf(!canBuild() || !(await redisClusterAvailable()))('the base, run', () => {
  let manifests: readonly Manifest[] = []
  let redis: RunningRedis
  let gateway: Service
  let analyzer: Service

  beforeAll(async () => {
    manifests = build('base')
    redis = await startRedis(container(manifests, 'redis'))
    const env = environment(manifests, redis)
    gateway = await startGateway(env)
    analyzer = await startAnalyzer(env)
  })

  afterAll(async () => {
    await gateway[Symbol.asyncDispose]()
    await analyzer[Symbol.asyncDispose]()
    await redis[Symbol.asyncDispose]()
  })

  const ask = (service: 'gateway' | 'analyzer', name: ProbeName): Promise<number> =>
    statusOf(container(manifests, service)[name], service === 'gateway' ? gateway : analyzer)

  test.each(PROBES)('%s of both services passes', async name => {
    await expect.poll(() => ask('gateway', name), { timeout: NOTICED_WITHIN_MS }).toBe(200)
    await expect.poll(() => ask('analyzer', name), { timeout: NOTICED_WITHIN_MS }).toBe(200)
  })

  test('samples get the durability that the settings ask for', async () => {
    const response = await ingest(gateway)
    expect(response.status).toBe(202)
    expect(await response.json()).toMatchObject({ accepted: 1, durability: 'local' })
  })

  test("Redis' own probe passes, and not without the password", () => {
    const { readinessProbe, env = [] } = container(manifests, 'redis')
    const [program, ...args] = readinessProbe?.exec?.command ?? []
    expect(program).toBe('redis-cli')
    expect(env.find(({ name }) => name === 'REDISCLI_AUTH')?.value).toBe('$(REDIS_PASSWORD)')
    const run = (password: string): string =>
      execFileSync(server.replace(/server$/, 'cli'), ['-p', String(redis.port), ...args], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, REDISCLI_AUTH: password },
        stdio: ['ignore', 'pipe', 'ignore'],
      })
    expect(run(PASSWORD)).toBe('PONG\n')
    expect(() => run('wrong')).toThrow()
  })

  test('while Redis is away no service is restarted, and the gateway stays in its Service to say so', async () => {
    await redis.stop()
    try {
      await expect.poll(() => ask('gateway', 'startupProbe'), { timeout: NOTICED_WITHIN_MS }).toBe(503)
      for (const name of ['readinessProbe', 'livenessProbe'] as const)
        expect([name, await ask('gateway', name)]).toEqual([name, 200])
      expect(await ask('analyzer', 'livenessProbe')).toBe(200)
      const refused = await ingest(gateway)
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, expect.stringMatching(/^\d+$/)])
    } finally {
      await redis.start()
    }
    await expect.poll(() => ask('gateway', 'startupProbe'), { timeout: NOTICED_WITHIN_MS }).toBe(200)
  })

  test('both stop within their grace period, the sleep before it taken off', async () => {
    const env = environment(manifests, redis)
    for (const start of [startGateway, startAnalyzer]) {
      const service = await start(env)
      await pause(500)
      const begin = performance.now()
      await service[Symbol.asyncDispose]()
      expect(performance.now() - begin).toBeLessThan(20_000)
    }
  })
})

/** Redis with the arguments of the manifest; only its folder is another. */
function startRedis({ args = [] }: IContainer): Promise<RunningRedis> {
  const [program, ...options] = args
  expect(program).toBe('redis-server')
  const folder = options.indexOf('--dir')
  expect(options[folder + 1]).toBe('/data')
  const all = options.toSpliced(folder, 2).map(option => (option === '$(REDIS_PASSWORD)' ? PASSWORD : option))
  return startRedisProcess(server, all)
}

/** What the ConfigMap and the Secret give the services. */
function environment(manifests: readonly Manifest[], { port }: RunningRedis): Record<string, string> {
  const settings = ofKind(manifests, 'ConfigMap').find(({ metadata }) => metadata?.name?.startsWith('settings-'))
  return { ...settings?.data, REDIS_URL: `redis://:${PASSWORD}@127.0.0.1:${port}` }
}

/** What a probe is answered with, on the port of the process that has the name of the container's. */
async function statusOf(probe: IProbe | undefined, { port, metricsPort }: Service): Promise<number> {
  const { path = '', port: name } = probe?.httpGet ?? {}
  const at = name === 'http' ? port : metricsPort
  const response = await fetch(`http://127.0.0.1:${at}${path}`, { signal: AbortSignal.timeout(2000) })
  await response.body?.cancel()
  return response.status
}

function ingest({ port }: Service): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/ingest`, {
    method: 'POST',
    body: '{"key":"a","value":1}',
    headers: { 'content-type': 'application/json' },
  })
}
