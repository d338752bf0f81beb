import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assignedTo } from './assignment.ts'

const member = fc.stringMatching(/^[a-z0-9-]{1,20}$/)
const members = fc.uniqueArray(member, { minLength: 1, maxLength: 20 })
const partitions = fc.integer({ min: 1, max: 64 })

describe('assignment', () => {
  test('gives every partition to exactly one member', () => {
    fc.assert(
      fc.property(members, partitions, (members, partitions) => {
        const assigned = members.flatMap(one => assignedTo(one, members, partitions))
        expect(assigned.toSorted((a, b) => a - b)).toEqual(Array.from({ length: partitions }, (_, i) => i))
      }),
    )
  })

  test('gives no member more than its share, rounded up', () => {
    fc.assert(
      fc.property(members, partitions, (members, partitions) => {
        for (const one of members) {
          expect(assignedTo(one, members, partitions).length).toBeLessThanOrEqual(
            Math.ceil(partitions / members.length),
          )
        }
      }),
    )
  })

  test('does not depend on the order of the members', () => {
    fc.assert(
      fc.property(members, partitions, (members, partitions) => {
        const [one = ''] = members
        expect(assignedTo(one, members.toReversed(), partitions)).toEqual(assignedTo(one, members, partitions))
      }),
    )
  })

  test('moves few partitions when a member leaves', () => {
    const names = Array.from({ length: 4 }, (_, i) => `analyzer-${i}`)
    const before = new Map(names.flatMap(name => assignedTo(name, names, 64).map(p => [p, name] as const)))
    const left = names.slice(1)
    const after = new Map(left.flatMap(name => assignedTo(name, left, 64).map(p => [p, name] as const)))
    const moved = [...before].filter(([partition, owner]) => after.get(partition) !== owner).length
    // 16 must move because their owner left; the bound on the shares moves a few more.
    expect(moved).toBeGreaterThanOrEqual(16)
    expect(moved).toBeLessThan(32)
  })

  test('gives nothing to an analyzer that is not a member', () => {
    expect(assignedTo('stranger', ['a', 'b'], 16)).toEqual([])
  })
})
