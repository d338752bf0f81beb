import { once } from 'node:events'
import { createConnection } from 'node:net'
import { aborted, pause } from '@tidemark/shared/runtime/lifecycle'
import { Failure } from '../lib/options.ts'
import type { Child } from './child.ts'
import { startEmbedded } from './embedded.ts'
import { chooseRedis, type RedisChoice } from './redis.ts'
import { runService, type ServiceName } from './service-process.ts'
import { HOST, type Stack, type StackOptions, serviceEnvironment, warningIn } from './stack.ts'

type RedisProcess = Exclude<RedisChoice, { kind: 'memory' }>

/** How long Redis may take to respond after the gateway listens. */
const READY_LIMIT_MS = 60_000

/** Lines shown of a process that died. */
const LINES_SHOWN = 10

/** Starts the stack; resolves when samples can be sent. Rejects also when `stop` aborts. */
export async function launch(options: StackOptions, stop: AbortSignal): Promise<Stack> {
  const { port } = options
  if (port !== 0 && (await isPortTaken(port))) {
    throw new Failure(
      `another program uses port ${port}. Choose another one, for example: npm start -- --port ${port + 1}`,
    )
  }
  const redis = await chooseRedis(options.redisUrl)
  return redis.kind === 'memory' ? startEmbedded(options, redis) : startServices(options, redis, stop)
}

/** Checks a port before anything starts. Other errors of binding come from the gateway. */
async function isPortTaken(port: number): Promise<boolean> {
  const socket = createConnection({ port, host: HOST })
  const isTaken = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return isTaken
}

/** Starts gateway and analyzers as processes; resolves when samples can be sent. */
async function startServices(options: StackOptions, redis: RedisProcess, stop: AbortSignal): Promise<Stack> {
  await using starting = new AsyncDisposableStack()
  const crash = Promise.withResolvers<never>()
  // It may reject while no one waits for it; that must not end this process.
  crash.promise.catch(() => {})
  const children: Child[] = []
  let isStopping = false

  /** Makes the end of a process a crash of the stack, unless the stack is stopping. */
  const watch = (child: Child): Child => {
    children.push(child)
    void child.exited.then(({ code }) => {
      if (isStopping) return
      const lines = child.lines.slice(-LINES_SHOWN).map(line => `  ${line}\n`)
      crash.reject(new Failure(`${child.name} ended unexpectedly with code ${code}:\n${lines.join('').trimEnd()}`))
    })
    return child
  }
  if (redis.kind === 'started') starting.use(watch(redis.child))
  const env = serviceEnvironment(options.env, redis)
  const run = (service: ServiceName, name: string, more: NodeJS.ProcessEnv = {}) => {
    const running = runService(service, name, { ...env, ...more }, line => {
      const warning = warningIn(line)
      if (warning !== undefined && !isStopping) options.onWarning(`${name}: ${warning}`)
    })
    watch(running.child)
    return running
  }

  const analyzers = Array.from({ length: options.analyzers }, (_, i) => run('analyzer', `analyzer ${i + 1}`))
  starting.defer(async () => void (await Promise.all(analyzers.map(({ child }) => child.stop()))))
  const gateway = run('gateway', 'the gateway', { PORT: String(options.port) })
  starting.use(gateway.child)
  starting.defer(() => {
    isStopping = true
  })

  // Analyzers become ready after Redis responds, samples are accepted before. Failures are crashes.
  for (const { ready } of analyzers) ready.catch(() => {})
  const aborting = aborted(stop).then((): never => {
    throw stop.reason
  })
  aborting.catch(() => {})
  const { port } = await Promise.race([gateway.ready, crash.promise, aborting])
  const url = `http://${HOST}:${port}`
  await Promise.race([ready(url, redis, stop), crash.promise, aborting])
  const resources = starting.move()
  return {
    url,
    redis: redis.title,
    crashed: crash.promise,
    kill: () => {
      for (const child of children) child.kill()
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Resolves when the gateway can store samples. */
async function ready(url: string, redis: RedisProcess, stop: AbortSignal): Promise<void> {
  const deadline = performance.now() + READY_LIMIT_MS
  while (performance.now() < deadline && !stop.aborted) {
    const response = await fetch(`${url}/readyz`).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok === true) return
    await pause(50, stop)
  }
  const hint = redis.kind === 'given' ? ' Is it running, and is the address (--redis-url or REDIS_URL) correct?' : ''
  throw new Failure(`${redis.title} did not respond within ${READY_LIMIT_MS / 1000} s.${hint}`)
}
