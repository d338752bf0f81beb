import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { findProgram } from '../../lib/packages.ts'
import type { Program } from './program.ts'
import { addReading, type Reading, readUsage, type Usage, usageOf } from './usage.ts'

/** The kernel kills the process when this one has ended, however it ends. */
const SETPRIV = findProgram('setpriv')
const WITH_PARENT = SETPRIV === undefined ? [] : [SETPRIV, '--pdeathsig', 'KILL', '--']

/** Signals of exit codes, as shells and container runtimes report them. */
const SIGNAL_CODES: Readonly<Record<string, number>> = {
  SIGKILL: 137,
  SIGTERM: 143,
  SIGINT: 130,
  SIGSEGV: 139,
  SIGABRT: 134,
}
const START_FAILED = 127

export interface Ended {
  readonly code: number
  readonly startedAt: Date
  readonly endedAt: Date
}

/** A running container: one process, whose output goes to a file. */
export class ContainerProcess {
  readonly startedAt = new Date()
  readonly exited: Promise<Ended>
  readonly #child: ChildProcess
  #readings: Reading[] = []

  constructor({ file, args, env }: Program, folder: string, logFile: string) {
    const log = openSync(logFile, 'a', 0o600)
    const [program = '', ...rest] = [...WITH_PARENT, file, ...args]
    this.#child = spawn(program, rest, { cwd: folder, env, stdio: ['ignore', log, log] })
    closeSync(log)
    const { promise, resolve } = Promise.withResolvers<number>()
    this.#child.on('error', () => resolve(START_FAILED))
    this.#child.on('exit', (code, signal) => resolve(code ?? SIGNAL_CODES[signal ?? ''] ?? 1))
    this.exited = promise.then(code => ({ code, startedAt: this.startedAt, endedAt: new Date() }))
  }

  get isRunning(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Sends SIGTERM; after the grace period SIGKILL. `hurry` ends the grace period. */
  async stop(graceMs: number, hurry: AbortSignal): Promise<void> {
    if (!this.isRunning) return
    this.#child.kill('SIGTERM')
    const ended = new AbortController()
    void this.exited.then(() => ended.abort())
    await pause(graceMs, AbortSignal.any([ended.signal, hurry]))
    this.kill()
    await this.exited
  }

  kill(): void {
    if (this.isRunning) this.#child.kill('SIGKILL')
  }

  async measure(at: number): Promise<void> {
    const used = this.#child.pid === undefined ? undefined : await readUsage(this.#child.pid)
    if (used !== undefined) this.#readings = addReading(this.#readings, { at, ...used })
  }

  usage(): Usage | undefined {
    return usageOf(this.#readings)
  }
}
