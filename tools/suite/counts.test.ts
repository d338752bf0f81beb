import { describe, expect, test } from 'vitest'
import { closingLine, countTests, slowestFiles } from './counts.ts'

function report(changes: object = {}): string {
  const passed = { status: 'passed', assertionResults: [{}, {}] }
  const counts = { numPassedTests: 2, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 }
  return JSON.stringify({ ...counts, testResults: [passed], ...changes })
}

describe('the counts of a vitest run', () => {
  test('come from its report', () => {
    const mixed = report({ numFailedTests: 1, numPendingTests: 3, numTodoTests: 1 })
    expect(countTests(mixed, 1)).toEqual({ passed: 2, failed: 1, skipped: 4 })
  })

  test('include one failure for a file that could not be loaded', () => {
    const broken = report({ testResults: [{ status: 'failed', assertionResults: [] }] })
    expect(countTests(broken, 1)).toEqual({ passed: 2, failed: 1, skipped: 0 })
  })

  test('include one failure for a run that failed without a failed test', () => {
    expect(countTests(report(), 1)).toEqual({ passed: 2, failed: 1, skipped: 0 })
  })

  test('include one failure for a run without tests', () => {
    expect(countTests(report({ numPassedTests: 0, testResults: [] }), 0)).toMatchObject({ failed: 1 })
  })

  test.each([undefined, '', '{', '[]', '{}'])('include one failure for a report that is %j', text => {
    expect(countTests(text, 0)).toEqual({ passed: 0, failed: 1, skipped: 0 })
  })

  test('include no failure for a successful run', () => {
    expect(countTests(report(), 0)).toEqual({ passed: 2, failed: 0, skipped: 0 })
  })
})

test('the slowest files of a run are named, the slowest first', () => {
  const file = (name: string, seconds: number) => ({
    name: `/x/${name}`,
    startTime: 5000,
    endTime: 5000 + 1000 * seconds,
  })
  const testResults = [file('a.test.ts', 2), file('b.test.ts', 40), file('c.test.ts', 1), file('d.test.ts', 3)]
  expect(slowestFiles(report({ testResults }))).toBe('b.test.ts 40 s, d.test.ts 3 s, a.test.ts 2 s')
  expect(slowestFiles(report({ testResults: [] }))).toBeUndefined()
})

test('the closing line mentions skipped tests only if there are any', () => {
  expect(closingLine({ passed: 12, failed: 0, skipped: 0 })).toBe('12 passed, 0 failed')
  expect(closingLine({ passed: 1, failed: 2, skipped: 3 })).toBe('1 passed, 2 failed, 3 skipped')
})
