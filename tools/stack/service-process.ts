import { join } from 'node:path'
import { redact, secretsIn } from '@tidemark/shared/runtime/secrets'
import { ROOT } from '../lib/project.ts'
import { Child } from './child.ts'

/** Only a fault lasts so long: a machine a tenth as fast as usual needs half of it. */
const READY_LIMIT_MS = 60_000

/** Prints its process id, then becomes the service: Child knows only the id of its guard. */
const ANNOUNCE = `echo '{"processId":'$$'}'; exec "$@"`

/** What a service logs once it works. A gateway listens even while Redis is not available. */
const READY = { gateway: ['listening'], analyzer: ['analysing'], mqtt: ['listening', 'subscribed'] } as const
const STORE_OPEN = 'store is open'

export type ServiceName = keyof typeof READY

/** All settings of a service, which gets nothing else from this process but PATH. */
type Environment = Readonly<Record<string, string | undefined>>

/** Called with every line that a service writes. */
type LineListener = (line: string) => void

export interface Service extends AsyncDisposable {
  readonly child: Child
  readonly pid: number
  /** Port of the gateway; 0 for other services. */
  readonly port: number
  readonly metricsPort: number
}

/** Starts a gateway on a free port of this computer; resolves when it can store samples. */
export function startGateway(env: Environment, onLine?: LineListener): Promise<Service> {
  return startService('gateway', env, { onLine, readyAt: [...READY.gateway, STORE_OPEN] })
}

/** Starts an analyzer; resolves when it works. */
export function startAnalyzer(env: Environment, onLine?: LineListener): Promise<Service> {
  return startService('analyzer', env, { onLine })
}

/** Starts a bridge; resolves when the broker delivers messages to it. */
export function startBridge(env: Environment, onLine?: LineListener): Promise<Service> {
  return startService('mqtt', env, { onLine })
}

interface ServiceOptions {
  readonly onLine?: LineListener | undefined
  /** What it logs once it works. */
  readonly readyAt?: readonly string[]
  /** Where the code of the service is: this folder, or that of another version. */
  readonly root?: string
}

/** Starts a service that listens on this computer only; resolves when it works. */
export async function startService(service: ServiceName, env: Environment, options: ServiceOptions): Promise<Service> {
  const { onLine, readyAt, root } = options
  const listening = service === 'gateway' ? { HOST: '127.0.0.1', PORT: '0' } : { METRICS_HOST: '127.0.0.1' }
  const { child, ready, leaks } = runService(service, `the ${service}`, { ...listening, ...env }, onLine, readyAt, root)
  return {
    child,
    ...(await ready),
    async [Symbol.asyncDispose]() {
      await child.stop()
      const { code } = await child.exited
      if (leaks.length > 0) throw new Error(`${child.name} wrote secrets of its settings:\n${leaks.join('\n')}`)
      if (code !== 0) throw new Error(`${child.name} ended with ${code}:\n${child.lines.join('\n')}`)
    },
  }
}

/**
 * Runs a service; `ready` resolves when it has logged `readyAt`, in any order, and rejects if it
 * ends or takes too long. `leaks` are the lines with a secret of its settings that it has written,
 * without the secret.
 */
export function runService(
  service: ServiceName,
  name: string,
  env: Environment,
  onLine?: LineListener,
  readyAt: readonly string[] = READY[service],
  root = ROOT,
) {
  const main = join(root, 'packages', service, 'src', 'main.ts')
  const child = new Child({
    name,
    file: 'sh',
    args: ['-c', ANNOUNCE, 'tidemark-service', process.execPath, main],
    env: { PATH: process.env.PATH, METRICS_PORT: '0', ...env },
  })
  const at = { pid: 0, port: 0, metricsPort: 0 }
  const awaited = new Set(readyAt)
  const secrets = secretsIn(env)
  const leaks: string[] = []
  child.onLine(line => {
    const clean = redact(line, secrets)
    if (clean !== line) leaks.push(clean)
    if (!line.startsWith('{"processId"')) onLine?.(line)
  })
  const isReady = (line: string): boolean => {
    const { processId, msg, port, metricsPort } = parse(line)
    if (typeof processId === 'number') at.pid = processId
    if (typeof port === 'number') at.port = port
    if (typeof metricsPort === 'number') at.metricsPort = metricsPort
    if (typeof msg === 'string') awaited.delete(msg)
    return awaited.size === 0
  }
  return { child, leaks, ready: child.ready(isReady, READY_LIMIT_MS).then(() => at) }
}

function parse(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}
