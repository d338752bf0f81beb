import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDeploymentSecrets } from '@tidemark/gateway/secrets/deployment-secrets'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { redisClusterAvailable } from '@tidemark/testkit/redis-fixture'
import { type RunningRedis, startRedisProcess } from '@tidemark/testkit/redis-process'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import { build } from '@tidemark/tools/manifests/kustomize'
import { kubernetesSecrets } from '@tidemark/tools/secrets/kubernetes'
import { findServer } from '@tidemark/tools/stack/redis'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import type { IContainer, IProbe } from 'kubernetes-models/v1'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { canBuild } from './build.ts'
import { ofKind } from './manifest.ts'
import { container } from './mutations.ts'
import { mountSecrets } from './secret-mounts.ts'

const made = createDeploymentSecrets(Date.now())
const SECRETS = kubernetesSecrets(made, { namespace: 'highload', redisUrl: 'redis://redis:6379' })

/** Or Valkey's, if that is installed instead. */
const server = findServer() ?? 'redis-server'

const PROBES = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const
type ProbeName = (typeof PROBES)[number]

/** Runs the services as processes with the base's settings and probes, and Redis as it does. */
describe.skipIf(!canBuild() || !(await redisClusterAvailable()))('the base, run as processes', () => {
  let manifests: readonly Manifest[] = []
  let redis: RunningRedis
  let gateway: Service
  let analyzer: Service
  let folder = ''

  beforeAll(async () => {
    manifests = build('base')
    folder = await mkdtemp(join(tmpdir(), 'tidemark-mounts-'))
    redis = await startRedis(container(manifests, 'redis'), mount('redis'))
    gateway = await startGateway(environment('gateway'))
    analyzer = await startAnalyzer(environment('analyzer'))
  })

  afterAll(async () => {
    await gateway[Symbol.asyncDispose]()
    await analyzer[Symbol.asyncDispose]()
    await redis[Symbol.asyncDispose]()
    await rm(folder, { recursive: true })
  })

  /** Writes the Secrets that a pod mounts; returns what finds a mounted file. */
  const mount = (workload: string) => mountSecrets(manifests, workload, { secrets: SECRETS, folder })

  /** Returns the environment that the manifests give a service. */
  function environment(service: 'gateway' | 'analyzer'): Record<string, string> {
    const settings = ofKind(manifests, 'ConfigMap').find(({ metadata }) => metadata?.name?.startsWith('settings-'))
    const own = (container(manifests, service).env ?? []).flatMap(({ name, value }) =>
      value === undefined ? [] : [[name, value] as const],
    )
    const all = Object.entries({ ...settings?.data, ...Object.fromEntries(own) })
    const at = mount(service)
    return {
      ...Object.fromEntries(all.map(([name, value]) => [name, at(value)])),
      REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    }
  }

  const probe = (service: 'gateway' | 'analyzer', name: ProbeName): Promise<number> =>
    statusOf(container(manifests, service)[name], service === 'gateway' ? gateway : analyzer)

  test.each(PROBES)('%s of both services passes', async name => {
    await expect.poll(() => probe('gateway', name)).toBe(200)
    await expect.poll(() => probe('analyzer', name)).toBe(200)
  })

  test('samples get the durability of the settings', async () => {
    const response = await ingest(gateway)
    expect(response.status).toBe(202)
    expect(await response.json()).toMatchObject({ accepted: 1, durability: 'local' })
  })

  test("Redis' own probe passes, and not without the password", () => {
    const { readinessProbe, env = [] } = container(manifests, 'redis')
    const [program, ...args] = readinessProbe?.exec?.command ?? []
    expect(program).toBe('redis-cli')
    const { secretKeyRef } = env.find(({ name }) => name === 'REDISCLI_AUTH')?.valueFrom ?? {}
    expect(secretKeyRef).toEqual({ name: 'tidemark-redis', key: 'probe-password' })
    const run = (password: string): string =>
      execFileSync(server.replace(/server$/, 'cli'), ['-p', String(redis.port), ...args], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, REDISCLI_AUTH: password },
        stdio: ['ignore', 'pipe', 'ignore'],
      })
    expect(run(made.passwords.probe)).toBe('PONG\n')
    expect(() => run('wrong')).toThrow()
  })

  test('while Redis is unavailable no service is restarted, and the gateway stays ready to respond 503', async () => {
    await redis.stop()
    try {
      await expect.poll(() => probe('gateway', 'startupProbe')).toBe(503)
      for (const name of ['readinessProbe', 'livenessProbe'] as const)
        expect([name, await probe('gateway', name)]).toEqual([name, 200])
      expect(await probe('analyzer', 'livenessProbe')).toBe(200)
      const response = await ingest(gateway)
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, expect.stringMatching(/^\d+$/)])
    } finally {
      await redis.start()
    }
    await expect.poll(() => probe('gateway', 'startupProbe')).toBe(200)
  })

  test('both stop within their grace period, minus the preStop sleep', async () => {
    for (const [start, name] of [[startGateway, 'gateway'] as const, [startAnalyzer, 'analyzer'] as const]) {
      const service = await start(environment(name))
      await pause(500)
      const begin = performance.now()
      await service[Symbol.asyncDispose]()
      expect(performance.now() - begin).toBeLessThan(20_000)
    }
  })
})

/** Starts Redis with the arguments of the manifest, but in its own folder. */
function startRedis({ args = [] }: IContainer, at: (path: string) => string): Promise<RunningRedis> {
  const [program, ...options] = args
  expect(program).toBe('redis-server')
  const folder = options.indexOf('--dir')
  expect(options[folder + 1]).toBe('/data')
  return startRedisProcess(server, options.toSpliced(folder, 2).map(at))
}

/** Returns the status of a probe, on the port with the name that the probe uses. */
async function statusOf(probe: IProbe | undefined, { port, metricsPort }: Service): Promise<number> {
  const { path = '', port: name } = probe?.httpGet ?? {}
  const at = name === 'http' ? port : metricsPort
  const response = await fetch(`http://127.0.0.1:${at}${path}`, { signal: AbortSignal.timeout(60_000) })
  await response.body?.cancel()
  return response.status
}

function ingest({ port }: Service): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/ingest`, {
    method: 'POST',
    body: '{"key":"a","value":1}',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${made.operatorKey}` },
  })
}
