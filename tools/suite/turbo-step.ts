import { globSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { installed, ROOT } from '../lib/project.ts'
import { add, type Counts, countTests, NOTHING } from './counts.ts'
import { type Program, runProgram, type Step, type StepContext, type StepResult } from './step.ts'

/** Tasks that turbo runs at once. A task of vitest has its own workers, one a core but one. */
const CONCURRENCY = 2

/** The report that vitest writes as a turbo task; see vitest.config.ts. */
const REPORT = join('.turbo', 'report.json')

/** A test file in the output of vitest: mark, project, file and the number of its tests. */
const TEST_FILE = /^ ([✓❯×]) .*\((\d+) tests?(?: \| (\d+) failed)?(?: \| (\d+) skipped)?\)/

/** A step that passes if a task of every package passes. */
export function taskStep(title: string, task: string): Step {
  return checkStep(title, taskArgs(task, 'errors-only'), summaryOf)
}

/** A step that passes if no package imports a package that its tags deny. */
export const BOUNDARIES_STEP = checkStep('boundaries', ['boundaries'])

/** A step that runs the tests of every package that need no process and no network. */
export const UNIT_STEP: Step = { group: 'unit', title: 'unit tests', run: runUnitTests }

function checkStep(title: string, args: readonly string[], describe?: (output: string) => string): Step {
  return {
    group: 'check',
    title,
    async run(context) {
      const { code, output } = await runTurbo(args, context)
      return { counts: { ...NOTHING, [code === 0 ? 'passed' : 'failed']: 1 }, output, note: describe?.(output) }
    },
  }
}

async function runUnitTests(context: StepContext): Promise<StepResult> {
  const packages = globSync(['packages/*/package.json', '{tools,test}/package.json'], { cwd: ROOT })
  const reports = packages.map(file => join(ROOT, dirname(file), REPORT))
  // A report of an earlier run must not be counted. Turbo restores those of cached tasks.
  await Promise.all(reports.map(file => rm(file, { force: true })))
  let done = NOTHING
  const takeLine = (line: string): boolean => {
    const counts = testFileCounts(line)
    if (counts === undefined) return false
    done = add(done, counts)
    context.onProgress(done)
    return counts.failed === 0
  }
  const { code, output } = await runTurbo(taskArgs('test', 'full'), context, takeLine)
  const texts = await Promise.all(reports.map(file => readFile(file, 'utf8').catch(() => undefined)))
  const counts = texts.map(text => countTests(text, 0)).reduce(add)
  const hasFailed = code !== 0 && counts.failed === 0
  return { counts: hasFailed ? { ...counts, failed: 1 } : counts, output, note: summaryOf(output) }
}

/** Returns the counts of a test file that vitest reports; undefined for any other line. */
function testFileCounts(line: string): Counts | undefined {
  const [, , tests, failed = 0, skipped = 0] = TEST_FILE.exec(stripVTControlCharacters(line)) ?? []
  if (tests === undefined) return undefined
  const counts = { failed: Number(failed), skipped: Number(skipped) }
  return { ...counts, passed: Number(tests) - counts.failed - counts.skipped }
}

function taskArgs(task: string, logs: 'full' | 'errors-only'): string[] {
  const log = [`--output-logs=${logs}`, '--log-prefix=none', '--log-order=stream']
  return ['run', task, `--concurrency=${CONCURRENCY}`, '--continue', ...log]
}

function runTurbo(args: readonly string[], context: StepContext, takeLine?: Program['takeLine']) {
  return runProgram({ name: 'turbo', file: installed('turbo'), args, takeLine }, context)
}

function summaryOf(output: string): string {
  const [, cached, total] = /^Cached:\s+(\d+) cached, (\d+) total/m.exec(stripVTControlCharacters(output)) ?? []
  return cached === undefined ? 'turbo did not finish' : `${cached} of ${total} packages cached`
}
