import type { ContainerRuntimeClient } from 'testcontainers'
import type { RunningRedis } from './redis-fixture.ts'
import { freePort } from './redis-process.ts'

const IMAGE_DEFAULT = 'redis:7.0-alpine'

/** Pulling the image may be part of it. */
const STARTUP_TIMEOUT_MS = 90_000

let engine: Promise<ContainerRuntimeClient | undefined> | undefined

/** The Docker engine that answers, found as testcontainers finds it (DOCKER_HOST, contexts, sockets); undefined without one. */
export function dockerEngine(): Promise<ContainerRuntimeClient | undefined> {
  // Only here, because testcontainers takes most of a second to load.
  engine ??= import('testcontainers').then(({ getContainerRuntimeClient }) =>
    getContainerRuntimeClient().catch(() => undefined),
  )
  return engine
}

export function redisImage(): string {
  return process.env.TIDEMARK_TEST_REDIS_IMAGE ?? IMAGE_DEFAULT
}

/** Starts Redis in a container, on a port of this computer that stays the same when it is stopped and started again. */
export async function startRedisContainer(args: readonly string[]): Promise<RunningRedis> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const client = await dockerEngine()
  if (client === undefined) throw new Error('no Docker engine answers')
  const port = await freePort()
  const started = await new GenericContainer(redisImage())
    .withCommand(['redis-server', '--protected-mode', 'no', ...args])
    .withExposedPorts({ container: 6379, host: port })
    // The image may have no shell, which looking at ports from within would need.
    .withWaitStrategy(Wait.forLogMessage('Ready to accept connections'))
    .withStartupTimeout(STARTUP_TIMEOUT_MS)
    .start()
  const container = client.container.getById(started.getId())
  const isRunning = async (): Promise<boolean> => (await container.inspect()).State.Running

  return {
    url: `redis://${started.getHost()}:${port}`,
    port,
    start: async () => {
      if (!(await isRunning())) await container.start()
    },
    stop: async () => {
      if (await isRunning()) await container.stop({ t: 10 })
    },
    kill: async () => {
      if (await isRunning()) await container.kill()
    },
    log: async () => String(await container.logs({ stdout: true, stderr: true })),
    async [Symbol.asyncDispose]() {
      await container.remove({ force: true, v: true })
    },
  }
}
