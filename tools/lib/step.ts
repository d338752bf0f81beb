import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child } from '../stack/child.ts'
import type { Counts } from '../suite/counts.ts'
import type { Group } from '../suite/options.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A check: it is run, and it says how many things passed. */
export interface Step {
  readonly group: Group
  readonly title: string
  run(context: StepContext): Promise<StepResult>
}

export interface StepContext {
  readonly stop: AbortSignal
  /** Told how many tests have ended. */
  readonly onProgress: (done: Counts) => void
}

export interface StepResult {
  readonly counts: Counts
  /** All that it wrote, shown when something failed. */
  readonly output: string
  /** Why it was not run, or only in part. */
  readonly note?: string
}

export interface Program {
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** After this it is taken for hung, ended and counted as failed. */
  readonly limitMs: number
  /** Takes a line that is not to be kept. */
  readonly takeLine?: (line: string) => boolean
}

export interface ProgramResult {
  readonly code: number
  readonly output: string
}

/** Runs a program of the project to its end, or until it has hung for too long. */
export async function runProgram(program: Program, stop: AbortSignal): Promise<ProgramResult> {
  const lines: string[] = []
  await using child = new Child({ ...program, env: { ...process.env, ...baseEnvironment(), ...program.env } })
  child.onLine(line => {
    if (program.takeLine?.(line) !== true) lines.push(line)
  })
  const end = (): void => void child.stop()
  const timer = setTimeout(() => {
    lines.push(`${program.name} was ended: it took more than ${program.limitMs / 1000} s`)
    end()
  }, program.limitMs)
  stop.addEventListener('abort', end, { once: true })
  try {
    const { code } = await child.exited
    return { code, output: lines.join('\n') }
  } finally {
    clearTimeout(timer)
    stop.removeEventListener('abort', end)
  }
}

/** A program from the project's dependencies. */
export function installed(name: string): string {
  return join(ROOT, 'node_modules', '.bin', name)
}

function baseEnvironment(): Record<string, string> {
  // Turbo wants to find pnpm, and shims want to find Node 24.
  const path = [join(ROOT, 'node_modules', '.bin'), join(ROOT, '.tools', 'node_modules', '.bin'), process.env.PATH]
  const colour: Record<string, string> = process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }
  return { ...colour, PATH: path.join(delimiter), TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' }
}
