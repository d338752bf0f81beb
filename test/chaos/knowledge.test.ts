import { expect, test, vi } from 'vitest'
import { type Attempt, afterRepeat, REFUSED, UNKNOWN } from './knowledge.ts'
import type { Loss } from './loss.ts'

const stored: Attempt = { knowledge: 'accepted', receipt: '0:5-0' }
const storedAgain: Attempt = { knowledge: 'accepted', receipt: '0:9-0' }

const state = { partition: 0, offset: 0, accepted: 0, analysed: 0, dead: 0, lastEntryId: '0-0' }
const loss: Loss = {
  at: 0,
  before: new Map(),
  lastCommits: new Map(),
  cause: 'test',
  atMs: 6,
  states: new Map([[0, { ...state, checkpoint: '4-0', waiting: new Map() }]]),
}

test('a repeat that gets the receipt of the first time is what it should be', () => {
  const breach = vi.fn()
  expect(afterRepeat(stored, stored, { losses: [], breach })).toBe(stored)
  expect(afterRepeat(UNKNOWN, stored, { losses: [], breach })).toBe(stored)
  expect(breach).not.toHaveBeenCalled()
})

test('another receipt is a breach, unless Redis has lost the first', () => {
  const breach = vi.fn()
  afterRepeat(stored, storedAgain, { losses: [loss], breach })
  expect(breach).not.toHaveBeenCalled()
  afterRepeat(stored, storedAgain, { losses: [], breach })
  expect(breach).toHaveBeenCalledWith(expect.stringMatching(/^I7: .* 0:9-0, .* 0:5-0/))
})

test('what was accepted stays so when a repeat is refused or not answered; what was open stays open', () => {
  const context = { losses: [], breach: vi.fn() }
  expect(afterRepeat(stored, REFUSED, context)).toBe(stored)
  expect(afterRepeat(stored, UNKNOWN, context)).toBe(stored)
  expect(afterRepeat(UNKNOWN, REFUSED, context)).toBe(UNKNOWN)
  expect(afterRepeat(REFUSED, UNKNOWN, context)).toBe(UNKNOWN)
})

test('after Redis lost it, a repeat that nobody answered may have stored it again', () => {
  expect(afterRepeat(stored, UNKNOWN, { losses: [loss], breach: vi.fn() })).toBe(UNKNOWN)
})
