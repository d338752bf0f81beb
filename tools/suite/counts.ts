export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const NOTHING: Counts = { passed: 0, failed: 0, skipped: 0 }

export function add(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped }
}

/** Returns the last line of a run. Other programs parse it, so nothing else is on it. */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

interface FileReport {
  readonly name: string
  readonly status: string
  readonly assertionResults: readonly unknown[]
  /** Unix milliseconds. */
  readonly startTime: number
  readonly endTime: number
}

/** The members of vitest's JSON report that are used here. */
interface Report extends Readonly<Record<`num${'Passed' | 'Failed' | 'Pending' | 'Todo'}Tests`, number>> {
  readonly testResults: readonly FileReport[]
}

/**
 * Returns the counts of a vitest run. A file that could not be loaded counts as one failed test.
 * So does a missing report, a run that failed for another reason and a run without tests.
 */
export function countTests(reportText: string | undefined, exitCode: number): Counts {
  const report = reportText === undefined ? undefined : parseReport(reportText)
  if (report === undefined) return { ...NOTHING, failed: 1 }
  const failed = report.testResults.filter(({ status }) => status === 'failed')
  const broken = failed.filter(({ assertionResults }) => assertionResults.length === 0)
  const counts = {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  }
  const hasRun = counts.passed + counts.failed + counts.skipped > 0
  if (counts.failed === 0 && (exitCode !== 0 || !hasRun)) return { ...counts, failed: 1 }
  return counts
}

const SLOWEST = 3

/** Names the test files of a vitest run that took the longest, with their seconds. */
export function slowestFiles(reportText: string): string | undefined {
  const took = (parseReport(reportText)?.testResults ?? []).map(({ name, startTime, endTime }) => {
    return { name: name.slice(name.lastIndexOf('/') + 1), seconds: Math.round((endTime - startTime) / 1000) }
  })
  const slowest = took.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST)
  return slowest.length === 0 ? undefined : slowest.map(({ name, seconds }) => `${name} ${seconds} s`).join(', ')
}

function parseReport(text: string): Report | undefined {
  try {
    const report = JSON.parse(text) as Partial<Report>
    const isReport = typeof report.numPassedTests === 'number' && Array.isArray(report.testResults)
    return isReport ? (report as Report) : undefined
  } catch {
    return undefined
  }
}
