import type { ContainerRuntimeClient } from 'testcontainers'
import type { RunningRedis } from './redis-process.ts'
import { freePort } from './redis-process.ts'

const IMAGE_DEFAULT = 'redis:7.0-alpine'

/** Long enough to pull the image. */
const STARTUP_TIMEOUT_MS = 90_000

let engine: Promise<ContainerRuntimeClient | undefined> | undefined

/**
 * Finds the Docker engine as testcontainers does (DOCKER_HOST, contexts, sockets); undefined when
 * none responds.
 */
export function dockerEngine(): Promise<ContainerRuntimeClient | undefined> {
  // Imported here, because testcontainers takes most of a second to load.
  engine ??= import('testcontainers').then(({ getContainerRuntimeClient }) =>
    getContainerRuntimeClient().catch(() => undefined),
  )
  return engine
}

export function redisImage(): string {
  return process.env.TIDEMARK_TEST_REDIS_IMAGE ?? IMAGE_DEFAULT
}

/**
 * Starts Redis in a container, on a local port that stays the same when it is stopped and started
 * again.
 */
export async function startRedisContainer(args: readonly string[]): Promise<RunningRedis> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const client = await dockerEngine()
  if (client === undefined) throw new Error('no Docker engine responds')
  const port = await freePort()
  const started = await new GenericContainer(redisImage())
    .withCommand(['redis-server', '--protected-mode', 'no', ...args])
    .withExposedPorts({ container: 6379, host: port })
    // The image may have no shell, which a check of ports from within would need.
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
