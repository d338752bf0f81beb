import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Child } from '@tidemark/tools/stack/child'
import { LISTENING } from '../support/service-messages.ts'

export type Role = 'gateway' | 'analyzer'

/** Generous, because a machine that does other work at the same time is slow. */
const READY_WITHIN_MS = 60_000

/** Prints the process id, then becomes the service: a guard process stands in between. */
const ANNOUNCE = `echo '{"processId":'$$'}'; exec "$@"`

export interface ServiceProcessOptions {
  readonly role: Role
  readonly name: string
  readonly env: Readonly<Record<string, string>>
  /** Called with every parsed log line at level error or fatal. */
  readonly onError: (line: Readonly<Record<string, unknown>>) => void
}

/** One gateway or analyzer process that can be killed, frozen and stopped. */
export class ServiceProcess implements AsyncDisposable {
  readonly role: Role
  readonly name: string
  readonly pid: number
  /** The port of the gateway's API; 0 for an analyzer. */
  readonly port: number
  readonly metricsPort: number
  readonly #child: Child
  #isEnding = false
  #isFrozen = false

  private constructor(
    options: ServiceProcessOptions,
    child: Child,
    at: { pid: number; port: number; metricsPort: number },
  ) {
    this.role = options.role
    this.name = options.name
    this.pid = at.pid
    this.port = at.port
    this.metricsPort = at.metricsPort
    this.#child = child
  }

  /** Resolves when the service listens. */
  static async start(options: ServiceProcessOptions): Promise<ServiceProcess> {
    const { role, name, env } = options
    const main = fileURLToPath(new URL(`../../packages/${role}/src/main.ts`, import.meta.url))
    const child = new Child({
      name,
      file: 'sh',
      args: ['-c', ANNOUNCE, 'tidemark-service', process.execPath, main],
      env: {
        PATH: process.env.PATH,
        HOST: '127.0.0.1',
        METRICS_HOST: '127.0.0.1',
        PORT: '0',
        METRICS_PORT: '0',
        ...env,
      },
    })
    const { promise: ready, resolve } = Promise.withResolvers<void>()
    const at = { pid: 0, port: 0, metricsPort: 0 }
    child.onLine(line => {
      const fields = parsed(line)
      const { processId, msg, port, metricsPort, level } = fields
      if (typeof processId === 'number') at.pid = processId
      if (typeof port === 'number') at.port = port
      if (typeof metricsPort === 'number') at.metricsPort = metricsPort
      if (level === 'error' || level === 'fatal') options.onError(fields)
      if (msg === LISTENING) resolve()
    })
    const timer = setTimeout(() => child.kill(), READY_WITHIN_MS)
    const started = await Promise.race([ready.then(() => true), child.exited.then(() => false)])
    clearTimeout(timer)
    if (!started) throw new Error(`${name} did not start:\n${child.lines.join('\n')}`)
    return new ServiceProcess(options, child, at)
  }

  /** Resolves if the process exits on its own; never settles otherwise. */
  get crashed(): Promise<{ code: number; lines: readonly string[] }> {
    return new Promise(resolve => {
      void this.#child.exited.then(({ code }) => {
        if (!this.#isEnding) resolve({ code, lines: this.#child.lines })
      })
    })
  }

  get isFrozen(): boolean {
    return this.#isFrozen
  }

  /** Kills the process as `kill -9` does. */
  kill(): void {
    this.#isEnding = true
    this.#child.kill()
  }

  freeze(): void {
    this.#isFrozen = true
    this.#signal('SIGSTOP')
  }

  thaw(): void {
    this.#isFrozen = false
    this.#signal('SIGCONT')
  }

  /** Sends SIGTERM and resolves with the exit code. */
  async stop(): Promise<number> {
    this.#isEnding = true
    if (this.#isFrozen) this.thaw()
    await this.#child.stop()
    return (await this.#child.exited).code
  }

  get exited(): Promise<unknown> {
    return this.#child.exited
  }

  /** Returns the resident memory; undefined if the process has exited. */
  async residentBytes(): Promise<number | undefined> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8').catch(() => '')
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
    return kib === undefined ? undefined : Number(kib) * 1024
  }

  /** Returns the sum of a metric over its labels; undefined if the process does not respond. */
  async metric(name: string): Promise<number | undefined> {
    const url = `http://127.0.0.1:${this.metricsPort}/metrics`
    const text = await fetch(url, { signal: AbortSignal.timeout(2000) }).then(
      response => response.text(),
      () => undefined,
    )
    if (text === undefined) return undefined
    const lines = text.split('\n').filter(line => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill()
    await this.#child.exited
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(this.pid, signal)
    } catch {
      // The process has exited already.
    }
  }
}

function parsed(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}
