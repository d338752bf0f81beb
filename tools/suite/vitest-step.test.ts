import { expect, test } from 'vitest'
import { PROGRESS_MARK } from './progress-reporter.ts'
import { TestLedger } from './vitest-step.ts'

test('the ledger counts tests that ended and names those that failed or still run', () => {
  const ledger = new TestLedger()
  const lines = ['pending a > one', 'pending a > two', 'passed a > one', 'failed a > two', 'skipped b', 'pending c']
  for (const line of lines) expect(ledger.take(PROGRESS_MARK + line)).toBe(true)
  expect(ledger.take('some output')).toBe(false)
  expect(ledger.oldest).toBe('c')
  expect(ledger.done).toEqual({ passed: 1, failed: 1, skipped: 1 })
  expect(ledger.describe()).toBe('failed:\n  a > two\nstill running:\n  c')
})
