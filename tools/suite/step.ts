import { delimiter, join } from 'node:path'
import { installed, ROOT } from '../lib/project.ts'
import { Child } from '../stack/child.ts'
import type { Counts } from './counts.ts'

/** What `--only` takes, in the order in which the groups run. */
export const GROUPS = ['check', 'unit', 'integration', 'e2e', 'containers', 'bench'] as const
export type Group = (typeof GROUPS)[number]

/** One part of the test suite, which reports how many of its checks passed. */
export interface Step {
  readonly group: Group
  readonly title: string
  run(context: StepContext): Promise<StepResult>
}

export interface StepContext {
  readonly stop: AbortSignal
  /** Aborts when the suite has run for too long. What a step runs is stopped then, and failed. */
  readonly limit: AbortSignal
  /** Called with the number of tests that have ended, and the one that has run for the longest. */
  readonly onProgress: (done: Counts, running?: string) => void
}

export interface StepResult {
  readonly counts: Counts
  /** Everything that the step wrote. It is shown if something failed. */
  readonly output: string
  /** Why the step did not run, or a summary of it. */
  readonly note?: string | undefined
}

export interface Program {
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Returns true for a line that is not to be kept. */
  readonly takeLine?: ((line: string) => boolean) | undefined
}

/** Runs a program until it ends, or one of the signals aborts. */
export async function runProgram(program: Program, { stop, limit }: Pick<StepContext, 'stop' | 'limit'>) {
  const lines: string[] = []
  await using child = new Child({ ...program, env: { ...process.env, ...baseEnvironment(), ...program.env } })
  child.onLine(line => {
    if (program.takeLine?.(line) !== true) lines.push(line)
  })
  AbortSignal.any([stop, limit]).addEventListener('abort', () => {
    if (limit.aborted) lines.push(`${program.name} was stopped: the time of the whole suite was over`)
    void child.stop()
  })
  const { code } = await child.exited
  return { code, output: lines.join('\n') }
}

function baseEnvironment(): Record<string, string> {
  // Turbo calls pnpm, and the scripts of packages call node: both must be the pinned versions.
  const path = [installed(''), join(ROOT, '.tools', 'node_modules', '.bin'), process.env.PATH]
  const colour: Record<string, string> = process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }
  return { ...colour, PATH: path.join(delimiter), TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' }
}
