import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FairBudget, type Share } from './fair-budget.ts'

/** Takes one by one as long as there is room; returns what the client uses then. */
function fill(budget: FairBudget, share: Share): number {
  while (budget.hasRoomFor(share, 1)) budget.take(share, 1)
  return share.used
}

test('a client alone gets the whole budget, exactly', () => {
  for (const max of [1, 2, 3, 7, 100, 1000, 200_000]) expect(fill(new FairBudget(max), { used: 0 })).toBe(max)
})

test('a client that uses everything leaves room for others, and gets nothing more', () => {
  const budget = new FairBudget(1000)
  const [noisy, quiet] = [{ used: 0 }, { used: 0 }]
  fill(budget, noisy)
  expect(budget.hasRoomFor(quiet, 200)).toBe(true)
  budget.take(quiet, 100)
  expect(budget.hasRoomFor(noisy, 1)).toBe(false)
  expect(budget.hasRoomFor(quiet, 100)).toBe(true)
  budget.giveBack(noisy, 100)
  expect(budget.hasRoomFor(noisy, 100)).toBe(false)
  expect(budget.hasRoomFor(noisy, 10)).toBe(true)
})

test('greedy clients share evenly, and a client that comes later is admitted', () => {
  for (const clients of [2, 5, 20]) {
    const budget = new FairBudget(10_000)
    const shares = Array.from({ length: clients }, () => ({ used: 0 }))
    for (let turn = 0; turn < 10_000; turn++) {
      for (const share of shares) if (budget.hasRoomFor(share, 1)) budget.take(share, 1)
    }
    const least = Math.min(...shares.map(({ used }) => used))
    expect(Math.max(...shares.map(({ used }) => used)) - least).toBeLessThanOrEqual(1)
    expect(least).toBeGreaterThan(10_000 / clients)
    expect(budget.hasRoomFor({ used: 0 }, Math.floor(least / 5) - 1)).toBe(true)
  }
})

test('all clients together never use more than 1.25 budgets', () => {
  const steps = fc.array(fc.tuple(fc.nat(9), fc.integer({ min: 1, max: 400 }), fc.boolean()), { maxLength: 200 })
  fc.assert(
    fc.property(steps, all => {
      const budget = new FairBudget(1000)
      const shares = Array.from({ length: 10 }, () => ({ used: 0 }))
      for (const [client, amount, gives] of all) {
        const share = shares[client] ?? { used: 0 }
        if (gives) budget.giveBack(share, Math.min(amount, share.used))
        else if (budget.hasRoomFor(share, amount)) budget.take(share, amount)
        expect(budget.used).toBe(shares.reduce((sum, { used }) => sum + used, 0))
        expect(budget.used).toBeLessThanOrEqual(1250)
      }
    }),
  )
})
