import { describe, expect, test } from 'vitest'
import { closingLine, countTests } from './counts.ts'

function report(changes: object = {}): string {
  const passed = { status: 'passed', assertionResults: [{}, {}] }
  const counts = { numPassedTests: 2, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 }
  return JSON.stringify({ ...counts, testResults: [passed], ...changes })
}

describe('the tests of a vitest run', () => {
  test('are counted from its report', () => {
    const mixed = report({ numFailedTests: 1, numPendingTests: 3, numTodoTests: 1 })
    expect(countTests(mixed, 1)).toEqual({ passed: 2, failed: 1, skipped: 4 })
  })

  test('a file that could not be loaded is one that failed', () => {
    const broken = report({ testResults: [{ status: 'failed', assertionResults: [] }] })
    expect(countTests(broken, 1)).toEqual({ passed: 2, failed: 1, skipped: 0 })
  })

  test('a run that failed without a failed test is one that failed', () => {
    expect(countTests(report(), 1)).toEqual({ passed: 2, failed: 1, skipped: 0 })
  })

  test('a run of no tests at all is one that failed', () => {
    expect(countTests(report({ numPassedTests: 0, testResults: [] }), 0)).toMatchObject({ failed: 1 })
  })

  test.each([undefined, '', '{', '[]', '{}'])('a report that is %j is one that failed', text => {
    expect(countTests(text, 0)).toEqual({ passed: 0, failed: 1, skipped: 0 })
  })

  test('a green run is green', () => {
    expect(countTests(report(), 0)).toEqual({ passed: 2, failed: 0, skipped: 0 })
  })
})

test('the closing line mentions skipped tests only when there are some', () => {
  expect(closingLine({ passed: 12, failed: 0, skipped: 0 })).toBe('12 passed, 0 failed')
  expect(closingLine({ passed: 1, failed: 2, skipped: 3 })).toBe('1 passed, 2 failed, 3 skipped')
})
