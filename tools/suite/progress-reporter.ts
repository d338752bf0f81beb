import type { Reporter, TestCase } from 'vitest/node'

/** Begins a line for the vitest step: a control character, so no test prints it by chance. */
export const PROGRESS_MARK = '\u001etidemark-test '

/** Writes a line for each test that begins (pending) and for each that has ended. */
class ProgressReporter implements Reporter {
  onTestCaseReady = (testCase: TestCase): void => report(testCase, 'pending')
  onTestCaseResult = (testCase: TestCase): void => report(testCase, testCase.result().state)
}

function report({ module, fullName }: TestCase, state: string): void {
  // Not writeSync: it fails if the pipe is full.
  process.stdout.write(`${PROGRESS_MARK}${state} ${module.relativeModuleId} > ${fullName.replaceAll('\n', ' ')}\n`)
}

// biome-ignore lint/style/noDefaultExport: vitest loads a reporter as the default export
export default ProgressReporter
