import type { Reporter, TestCase } from 'vitest/node'

/** Begins a line that is for tools/suite/main.ts; a test that prints it by chance is very unlikely. */
export const PROGRESS_MARK = '\u001etidemark-test '

/** Tells the script that runs vitest, on its standard output, of each test that begins (pending) and that has ended. */
class ProgressReporter implements Reporter {
  onTestCaseReady(testCase: TestCase): void {
    tell(testCase, 'pending')
  }

  onTestCaseResult(testCase: TestCase): void {
    tell(testCase, testCase.result().state)
  }
}

function tell({ module, fullName }: TestCase, state: string): void {
  // Not writeSync: a pipe that is full for a moment would be an error there.
  process.stdout.write(`${PROGRESS_MARK}${state} ${module.relativeModuleId} > ${fullName.replaceAll('\n', ' ')}\n`)
}

// biome-ignore lint/style/noDefaultExport: vitest takes a reporter's file by its default export
export default ProgressReporter
