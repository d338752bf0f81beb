import { fileURLToPath } from 'node:url'
import { Child } from './child.ts'

/** How long a service may take to start. */
const READY_LIMIT_MS = 20_000

/** Prints its process id, then becomes the service: Child knows only the id of its guard. */
const ANNOUNCE = `echo '{"processId":'$$'}'; exec "$@"`

/** The last line that a service logs before it works. */
const READY = { gateway: 'listening', analyzer: 'analysing' } as const

export interface Service extends AsyncDisposable {
  readonly child: Child
  readonly pid: number
  /** Port of the gateway; 0 for an analyzer. */
  readonly port: number
  readonly metricsPort: number
}

export interface ServiceOptions {
  readonly service: 'gateway' | 'analyzer'
  /** Its name in messages. */
  readonly name: string
  /** All settings. The service gets nothing else from the environment of this process but PATH. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Called with every line that the service writes. */
  readonly onLine?: (line: string) => void
}

/** Starts a gateway on a free port of this computer; resolves when it listens. */
export function startGateway(env: ServiceOptions['env'], onLine?: (line: string) => void): Promise<Service> {
  const settings = { HOST: '127.0.0.1', PORT: '0', ...env }
  return startService('gateway', settings, onLine)
}

/** Starts an analyzer; resolves when it works. */
export function startAnalyzer(env: ServiceOptions['env'], onLine?: (line: string) => void): Promise<Service> {
  return startService('analyzer', { METRICS_HOST: '127.0.0.1', ...env }, onLine)
}

async function startService(
  service: ServiceOptions['service'],
  env: ServiceOptions['env'],
  onLine: (line: string) => void = () => {},
): Promise<Service> {
  const name = `the ${service}`
  const { child, ready } = runService({ service, name, env, onLine })
  return {
    child,
    ...(await ready),
    async [Symbol.asyncDispose]() {
      await child.stop()
      const { code } = await child.exited
      if (code !== 0) throw new Error(`${name} ended with ${code}:\n${child.lines.join('\n')}`)
    },
  }
}

/** Runs a service; `ready` resolves when it works, and rejects if it ends or takes too long. */
export function runService({ service, name, env, onLine = () => {} }: ServiceOptions) {
  const main = fileURLToPath(new URL(`../../packages/${service}/src/main.ts`, import.meta.url))
  const child = new Child({
    name,
    file: 'sh',
    args: ['-c', ANNOUNCE, 'tidemark-service', process.execPath, main],
    env: { PATH: process.env.PATH, METRICS_PORT: '0', ...env },
  })
  const at = { pid: 0, port: 0, metricsPort: 0 }
  child.onLine(line => {
    if (!line.startsWith('{"processId"')) onLine(line)
  })
  const isReady = (line: string): boolean => {
    const { processId, msg, port, metricsPort } = parse(line)
    if (typeof processId === 'number') at.pid = processId
    if (typeof port === 'number') at.port = port
    if (typeof metricsPort === 'number') at.metricsPort = metricsPort
    return msg === READY[service]
  }
  return { child, ready: child.ready(isReady, READY_LIMIT_MS).then(() => at) }
}

function parse(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}
