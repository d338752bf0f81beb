import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { STOP_DEADLINE_MS } from '@tidemark/shared/runtime/lifecycle'

/** Output lines kept to show why a process died. */
const LINES_MAX = 40

/**
 * How long a process may take to stop after SIGTERM; the guard kills it then. A service that takes
 * too long ends by itself before, with its reason.
 */
const STOP_GRACE_S = STOP_DEADLINE_MS / 1000 + 2

/**
 * Runs a command (after two arguments) until the guard's stdin, a pipe from this process, closes:
 * the command is to stop, or this process was killed. It then sends SIGTERM, after a grace period
 * SIGKILL, and removes the folder. Nothing stays behind however this process ends. `detached`
 * starts a new session: Ctrl-C does not reach the command, and this process decides when it stops.
 */
const GUARD = `
folder=$1 grace=$2; shift 2
exec 3<&0 </dev/null
"$@" 3<&- & command=$!
{ read -r _ <&3; kill -TERM $command; sleep "$grace"; kill -KILL $command; } >/dev/null 2>&1 &
exec 3<&-
wait $command; code=$?
[ -n "$folder" ] && rm -rf "$folder"
trap : TERM; kill -TERM 0
exit $code
`

export interface Command {
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Removed once the process is gone. */
  readonly folder?: string
}

/** A process that cannot outlive this one. */
export class Child implements AsyncDisposable {
  readonly name: string
  /** The code is 128 + N after signal N, and 127 if the program could not be run. */
  readonly exited: Promise<{ readonly code: number }>
  readonly #guard: ChildProcessWithoutNullStreams
  readonly #folder: string | undefined
  /** The last lines of its output. */
  readonly lines: string[] = []
  readonly #listeners = new Set<(line: string) => void>()

  constructor(command: Command) {
    this.name = command.name
    this.#folder = command.folder
    const guard = ['-c', GUARD, 'tidemark-guard', command.folder ?? '', String(STOP_GRACE_S)]
    const options = { detached: true, env: { ...command.env } }
    this.#guard = spawn('sh', [...guard, command.file, ...command.args], options)
    // EPIPE: the guard has ended already.
    this.#guard.stdin.on('error', () => {})
    for (const input of [this.#guard.stdout, this.#guard.stderr]) {
      createInterface({ input }).on('line', line => this.#take(line))
    }
    this.exited = new Promise(resolve => {
      this.#guard.on('error', error => {
        this.#take(`cannot run sh: ${error.message}`)
        resolve({ code: 127 })
      })
      this.#guard.on('close', code => resolve({ code: code ?? 137 }))
    })
  }

  /** Calls `listener` with each line of output from now on. */
  onLine(listener: (line: string) => void): void {
    this.#listeners.add(listener)
  }

  /** Resolves at the first line `isReady` accepts; kills the process and rejects at the limit. */
  async ready(isReady: (line: string) => boolean, limitMs: number): Promise<void> {
    const ready = new Promise<boolean>(resolve => this.onLine(line => isReady(line) && resolve(true)))
    const timer = setTimeout(() => this.kill(), limitMs)
    const isRunning = await Promise.race([ready, this.exited.then(() => false)])
    clearTimeout(timer)
    if (!isRunning) throw new Error(`${this.name} did not start:\n${this.lines.join('\n')}`)
  }

  /** Sends SIGTERM and waits until the process has ended; after STOP_GRACE_S its guard kills it. */
  async stop(): Promise<void> {
    this.#guard.stdin.end()
    await this.exited
  }

  /** Kills the process and its guard at once, and removes the folder instead of the guard. */
  kill(): void {
    const { pid } = this.#guard
    if (pid === undefined || this.#guard.exitCode !== null || this.#guard.signalCode !== null) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // It has ended already.
    }
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #take(line: string): void {
    this.lines.push(line)
    if (this.lines.length > LINES_MAX) this.lines.shift()
    for (const listener of this.#listeners) listener(line)
  }
}
