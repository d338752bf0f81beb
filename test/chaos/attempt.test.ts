import { expect, test, vi } from 'vitest'
import { type Attempt, afterRetry, REJECTED, UNKNOWN } from './attempt.ts'
import type { Loss } from './loss.ts'

const stored: Attempt = { outcome: 'accepted', receipt: '0:5-0' }
const storedAgain: Attempt = { outcome: 'accepted', receipt: '0:9-0' }

const state = { partition: 0, offset: 0, accepted: 0, analysed: 0, dead: 0, lastEntryId: '0-0' }
const loss: Loss = {
  at: 0,
  before: new Map(),
  lastCommits: new Map(),
  cause: 'test',
  atMs: 6,
  states: new Map([[0, { ...state, checkpoint: '4-0', unprocessed: new Map() }]]),
}

test('a retry with the original receipt keeps the outcome', () => {
  const violation = vi.fn()
  expect(afterRetry(stored, stored, { losses: [], violation })).toBe(stored)
  expect(afterRetry(UNKNOWN, stored, { losses: [], violation })).toBe(stored)
  expect(violation).not.toHaveBeenCalled()
})

test('a retry with another receipt is a violation unless Redis lost the original entry', () => {
  const violation = vi.fn()
  afterRetry(stored, storedAgain, { losses: [loss], violation })
  expect(violation).not.toHaveBeenCalled()
  afterRetry(stored, storedAgain, { losses: [], violation })
  expect(violation).toHaveBeenCalledWith(expect.stringMatching(/^I7: .* 0:9-0, .* 0:5-0/))
})

test('a rejected or unanswered retry leaves an accepted sample accepted and an unknown one unknown', () => {
  const context = { losses: [], violation: vi.fn() }
  expect(afterRetry(stored, REJECTED, context)).toBe(stored)
  expect(afterRetry(stored, UNKNOWN, context)).toBe(stored)
  expect(afterRetry(UNKNOWN, REJECTED, context)).toBe(UNKNOWN)
  expect(afterRetry(REJECTED, UNKNOWN, context)).toBe(UNKNOWN)
})

test('after Redis lost the entry, an unanswered retry may have stored it again', () => {
  expect(afterRetry(stored, UNKNOWN, { losses: [loss], violation: vi.fn() })).toBe(UNKNOWN)
})
