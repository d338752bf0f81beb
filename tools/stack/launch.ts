import { createConnection } from 'node:net'
import { startEmbedded } from './embedded.ts'
import { chooseRedis } from './redis.ts'
import { startServices } from './services.ts'
import { HOST, type Stack, type StackOptions, StartFailure } from './stack.ts'

/** Starts everything; resolves when samples can be sent. Rejects with a StartFailure, or when `stop` aborts. */
export async function launch(options: StackOptions, stop: AbortSignal): Promise<Stack> {
  if (options.port !== 0) await requireFreePort(options.port)
  const redis = await chooseRedis(options.redisUrl)
  if (redis.kind === 'memory') return startEmbedded(options, redis.title)
  return startServices(options, redis, stop)
}

/** Somebody else's port must be said before anything is started; that it can be bound, the gateway finds out. */
async function requireFreePort(port: number): Promise<void> {
  const isTaken = await new Promise<boolean>(resolve => {
    const socket = createConnection({ port, host: HOST }, () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('close', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
  if (isTaken) {
    throw new StartFailure(
      `port ${port} is taken by another program. Choose another with --port, for example: npm start -- --port ${port + 1}`,
    )
  }
}
