import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installed, temporaryFolder } from '../lib/project.ts'
import { add, type Counts, countTests, NOTHING, slowestFiles } from './counts.ts'
import { PROGRESS_MARK } from './progress-reporter.ts'
import { runProgram, type Step, type StepContext, type StepResult } from './step.ts'

interface VitestRun {
  readonly project: 'integration' | 'e2e'
  /** Only test files whose path contains one of these. */
  readonly files?: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export function vitestStep(title: string, run: VitestRun): Step {
  return { group: run.project, title, run: context => runVitest(run, context) }
}

export async function runVitest(run: VitestRun, context: StepContext): Promise<StepResult> {
  const { project, files = [], env } = run
  await using folder = await temporaryFolder('test')
  const reportFile = join(folder.path, 'report.json')
  const reporter = fileURLToPath(new URL('progress-reporter.ts', import.meta.url))
  const reporters = ['default', reporter, 'json'].map(name => `--reporter=${name}`)
  // Of e2e there are two projects; see vitest.config.ts.
  const args = ['run', `--project=${project}*`, ...reporters, `--outputFile.json=${reportFile}`, ...files]
  const ledger = new TestLedger()
  const takeLine = (line: string): boolean => {
    const isTaken = ledger.take(line)
    if (isTaken) context.onProgress(ledger.done, ledger.oldest)
    return isTaken
  }
  const program = { name: `vitest (${project})`, file: installed('vitest'), args, env, takeLine }
  const { code, output } = await runProgram(program, context)
  const report = await readFile(reportFile, 'utf8').catch(() => undefined)
  if (report !== undefined) return { counts: countTests(report, code), output, note: slowestFiles(report) }
  // It was stopped or crashed: only what the tests reported while they ran is known.
  return { counts: add(ledger.done, { ...NOTHING, failed: 1 }), output: `${output}\n${ledger.describe()}` }
}

/** Counts tests while they run, from the lines of the progress reporter. */
export class TestLedger {
  done: Counts = NOTHING
  readonly #running = new Set<string>()
  readonly #failed: string[] = []

  /** The test that has been running for the longest. */
  get oldest(): string | undefined {
    return this.#running.values().next().value
  }

  /** Returns false for a line that is not from the reporter. */
  take(line: string): boolean {
    if (!line.startsWith(PROGRESS_MARK)) return false
    const text = line.slice(PROGRESS_MARK.length)
    const state = text.slice(0, text.indexOf(' '))
    const name = text.slice(state.length + 1)
    if (state === 'pending') {
      this.#running.add(name)
      return true
    }
    this.#running.delete(name)
    if (state === 'failed') this.#failed.push(name)
    const kind = state === 'passed' || state === 'failed' ? state : 'skipped'
    this.done = add(this.done, { ...NOTHING, [kind]: 1 })
    return true
  }

  describe(): string {
    const list = (title: string, names: readonly string[]): string[] =>
      names.length === 0 ? [] : [title, ...names.map(name => `  ${name}`)]
    return [...list('failed:', this.#failed), ...list('still running:', [...this.#running])].join('\n')
  }
}
