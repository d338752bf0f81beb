import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

/** Output lines kept to show why a process died. */
const LINES_MAX = 40

/** How long a process may take to stop by itself after SIGTERM; the guard kills it then. */
const STOP_GRACE_S = 8

/**
 * Runs the command given after its first two arguments and holds the pipe that is its stdin. When that closes, because
 * the start script wants so or because it was killed, the command gets SIGTERM, after a while SIGKILL, and the folder is
 * removed: nothing stays behind whatever happens to the start script. `detached` puts it into a session of its own, so
 * Ctrl-C in the terminal does not reach the command and the order of stopping is ours.
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
  /** How it is called when there is something to say about it. */
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Removed once the process is gone. */
  readonly folder?: string
}

/** How a process ended: with a code (above 128: by that signal), or it could not be run at all. */
export interface Exit {
  readonly code: number
}

/** A process that never outlives this one. */
export class Child implements AsyncDisposable {
  readonly name: string
  readonly exited: Promise<Exit>
  readonly #guard: ChildProcess
  readonly #folder: string | undefined
  readonly #lines: string[] = []
  readonly #listeners = new Set<(line: string) => void>()

  constructor(command: Command) {
    this.name = command.name
    this.#folder = command.folder
    this.#guard = spawn(
      'sh',
      ['-c', GUARD, 'tidemark-guard', command.folder ?? '', String(STOP_GRACE_S), command.file, ...command.args],
      { detached: true, stdio: ['pipe', 'pipe', 'pipe'], env: { ...command.env } },
    )
    // A guard that is gone closes its end; there is nothing left to tell it then.
    this.#guard.stdin?.on('error', () => {})
    this.#follow(this.#guard.stdout)
    this.#follow(this.#guard.stderr)
    this.exited = new Promise(resolve => {
      this.#guard.on('error', error => {
        this.#take(`cannot run sh: ${error.message}`)
        resolve({ code: 127 })
      })
      this.#guard.on('close', code => resolve({ code: code ?? 137 }))
    })
  }

  /** What it wrote last. */
  get lines(): readonly string[] {
    return this.#lines
  }

  /** Calls `listener` with each line that it writes from now on. */
  onLine(listener: (line: string) => void): void {
    this.#listeners.add(listener)
  }

  /** Asks it to stop and waits until it is gone; after STOP_GRACE_S its guard kills it. */
  async stop(): Promise<void> {
    this.#guard.stdin?.end()
    await this.exited
  }

  /** Ends it and its guard at once, and does what the guard would have done. */
  kill(): void {
    const { pid } = this.#guard
    if (pid === undefined || this.#guard.exitCode !== null || this.#guard.signalCode !== null) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // It was gone already.
    }
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #follow(stream: Readable | null): void {
    if (stream !== null) createInterface({ input: stream }).on('line', line => this.#take(line))
  }

  #take(line: string): void {
    this.#lines.push(line)
    if (this.#lines.length > LINES_MAX) this.#lines.shift()
    for (const listener of this.#listeners) listener(line)
  }
}
