import { fileURLToPath } from 'node:url'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { Child } from './child.ts'
import { parseLogLine } from './log-line.ts'
import type { RedisChoice } from './redis.ts'
import { type Environment, HOST, type Stack, type StackOptions, StartFailure, serviceEnvironment } from './stack.ts'

type RedisProcess = Exclude<RedisChoice, { kind: 'memory' }>

/** A gateway that listens is ready as soon as its Redis answers; a slow one gets this long. */
const READY_DEADLINE_MS = 15_000

/** Of what a process wrote before it died. */
const LINES_SHOWN = 10

/** Starts gateway and analyzers as processes; resolves when samples can be sent. Rejects when `stop` aborts. */
export async function startServices(options: StackOptions, redis: RedisProcess, stop: AbortSignal): Promise<Stack> {
  await using starting = new AsyncDisposableStack()
  const crash = Promise.withResolvers<never>()
  // Nobody may be looking while it all starts or stops; that is no unhandled rejection.
  crash.promise.catch(() => {})
  const children: Child[] = []
  let isStopping = false

  /** Takes a process in: its death is a crash of the stack, unless the stack is being stopped. */
  const watch = (child: Child): Child => {
    children.push(child)
    void child.exited.then(({ code }) => {
      if (isStopping) return
      const words = child.lines
        .slice(-LINES_SHOWN)
        .map(line => `  ${line}`)
        .join('\n')
      crash.reject(new StartFailure(`${child.name} ended by itself, with code ${code}. Its last lines:\n${words}`))
    })
    return child
  }
  const startService = (name: string, main: string, env: Environment): Child => {
    const file = fileURLToPath(new URL(`../../packages/${main}/src/main.ts`, import.meta.url))
    const child = watch(new Child({ name, file: process.execPath, args: [file], env }))
    child.onLine(line => {
      const { isWarning, text } = parseLogLine(line)
      if (isWarning && !isStopping) options.onWarning(`${name}: ${text}`)
    })
    return child
  }

  if (redis.kind === 'started') starting.use(watch(redis.child))
  const env = serviceEnvironment(options, redis)
  const analyzers = Array.from({ length: options.analyzers }, (_, index) =>
    startService(`analyzer ${index + 1}`, 'analyzer', env),
  )
  starting.defer(async () => void (await Promise.all(analyzers.map(analyzer => analyzer.stop()))))
  const gateway = starting.use(startService('the gateway', 'gateway', { ...env, PORT: String(options.port) }))
  starting.defer(() => {
    isStopping = true
  })

  const aborting = rejectAt(stop)
  const url = await Promise.race([listening(gateway), crash.promise, aborting])
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

/** Resolves with the gateway's address once it says that it listens. */
function listening(gateway: Child): Promise<string> {
  return new Promise(resolve => {
    gateway.onLine(line => {
      const { message, port } = parseLogLine(line)
      if (message === 'listening' && port !== undefined) resolve(`http://${HOST}:${port}`)
    })
  })
}

/** Resolves when the gateway can take samples. */
async function ready(url: string, redis: RedisProcess, stop: AbortSignal): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS
  while (performance.now() < deadline && !stop.aborted) {
    const response = await fetch(`${url}/readyz`).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok === true) return
    await pause(50, stop)
  }
  const hint = redis.kind === 'given' ? ' Is it running, and is the address right (--redis-url or REDIS_URL)?' : ''
  throw new StartFailure(`${redis.title} does not answer after ${READY_DEADLINE_MS / 1000} s.${hint}`)
}

function rejectAt(stop: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => {})
  if (stop.aborted) reject(stop.reason)
  else stop.addEventListener('abort', () => reject(stop.reason), { once: true })
  return promise
}
