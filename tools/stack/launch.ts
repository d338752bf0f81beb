import { createConnection } from 'node:net'
import { Failure } from '../lib/options.ts'
import { startEmbedded } from './embedded.ts'
import { chooseRedis } from './redis.ts'
import { startServices } from './services.ts'
import { HOST, type Stack, type StackOptions } from './stack.ts'

/** Starts the stack; resolves when samples can be sent. Rejects also when `stop` aborts. */
export async function launch(options: StackOptions, stop: AbortSignal): Promise<Stack> {
  if (options.port !== 0) await requireFreePort(options.port)
  const redis = await chooseRedis(options.redisUrl)
  if (redis.kind === 'memory') return startEmbedded(options, redis.title)
  return startServices(options, redis, stop)
}

/** Reports a used port before anything starts. Other errors of binding come from the gateway. */
async function requireFreePort(port: number): Promise<void> {
  const isTaken = await new Promise<boolean>(resolve => {
    const socket = createConnection({ port, host: HOST }, () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('close', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
  if (isTaken) {
    throw new Failure(
      `another program uses port ${port}. Choose another one, for example: npm start -- --port ${port + 1}`,
    )
  }
}
