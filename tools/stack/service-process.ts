import { fileURLToPath } from 'node:url'
import { Child } from './child.ts'

/** How long a service may take to say that it runs. */
const READY_WITHIN_MS = 20_000

/** Says the service's process id and then becomes the service: a guard stands between it and us. */
const ANNOUNCE = `echo '{"processId":'$$'}'; exec "$@"`

export interface Service extends AsyncDisposable {
  readonly child: Child
  readonly pid: number
  /** Of the gateway; 0 for an analyzer. */
  readonly port: number
  readonly metricsPort: number
}

type Environment = Readonly<Record<string, string>>

/** A gateway process on a free port of this computer, once it listens. `onLine` gets all that it ever writes. */
export function startGateway(env: Environment, onLine?: (line: string) => void): Promise<Service> {
  return startService('gateway', 'listening', { HOST: '127.0.0.1', PORT: '0', ...env }, onLine)
}

/** An analyzer process, once it works. */
export function startAnalyzer(env: Environment, onLine?: (line: string) => void): Promise<Service> {
  return startService('analyzer', 'analysing', { METRICS_HOST: '127.0.0.1', ...env }, onLine)
}

async function startService(
  name: 'gateway' | 'analyzer',
  readyMessage: string,
  env: Environment,
  onLine: (line: string) => void = () => {},
): Promise<Service> {
  const main = fileURLToPath(new URL(`../../packages/${name}/src/main.ts`, import.meta.url))
  const child = new Child({
    name,
    file: 'sh',
    args: ['-c', ANNOUNCE, 'tidemark-service', process.execPath, main],
    env: { PATH: process.env.PATH, METRICS_PORT: '0', ...env },
  })
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  const at = { pid: 0, port: 0, metricsPort: 0 }
  child.onLine(onLine)
  child.onLine(line => {
    const { processId, msg, port, metricsPort } = parsed(line)
    if (typeof processId === 'number') at.pid = processId
    if (typeof port === 'number') at.port = port
    if (typeof metricsPort === 'number') at.metricsPort = metricsPort
    if (msg === readyMessage) resolve()
  })
  const timer = setTimeout(() => child.kill(), READY_WITHIN_MS)
  const started = await Promise.race([ready.then(() => true), child.exited.then(() => false)])
  clearTimeout(timer)
  if (!started) throw new Error(`the ${name} did not start:\n${child.lines.join('\n')}`)
  return {
    child,
    ...at,
    async [Symbol.asyncDispose]() {
      await child.stop()
      const { code } = await child.exited
      if (code !== 0) throw new Error(`the ${name} ended with ${code}:\n${child.lines.join('\n')}`)
    },
  }
}

function parsed(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}
