import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Assignment } from './assignment.ts'

const member = fc.stringMatching(/^[a-z0-9-]{1,20}$/)
const members = fc.uniqueArray(member, { minLength: 1, maxLength: 20 })

/** By an assignment that has computed nothing yet. */
function assignedTo(member: string, members: readonly string[], partitions: number): number[] {
  return new Assignment(partitions).of(member, members)
}

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

  test('is the same however the members changed before', () => {
    fc.assert(
      fc.property(fc.array(members, { maxLength: 8 }), partitions, (changes, partitions) => {
        const kept = new Assignment(partitions)
        for (const members of changes) {
          for (const one of members) expect(kept.of(one, members)).toEqual(assignedTo(one, members, partitions))
        }
      }),
    )
  })

  test('is that of the version before, so that a rolling upgrade moves nothing', () => {
    expect(assignedTo('analyzer-1', ['analyzer-0', 'analyzer-1', 'analyzer-2'], 16)).toEqual([2, 3, 10, 11, 12])
  })

  test('hashes each member once for each partition, not at each heartbeat', () => {
    let hashes = 0
    const assignment = new Assignment(1024, (partition, member) => {
      hashes++
      return (partition * 31 + member.length * 17 + member.charCodeAt(member.length - 1)) % 997
    })
    const ninety = Array.from({ length: 90 }, (_, i) => `analyzer-${i}`)
    for (let heartbeat = 0; heartbeat < 100; heartbeat++) assignment.of('analyzer-7', [...ninety])
    expect(hashes).toBe(1024 * 90)
    assignment.of('analyzer-7', [...ninety, 'new'])
    expect(hashes).toBe(1024 * 91)
    assignment.of('analyzer-7', ninety.slice(1))
    expect(hashes).toBe(1024 * 91)
  })

  test('costs a heartbeat of 1,024 partitions and 90 members next to nothing', () => {
    const ninety = Array.from({ length: 90 }, (_, i) => `analyzer-${i}`)
    const assignment = new Assignment(1024)
    const msOf = (members: readonly string[]): number => {
      const begin = performance.now()
      assignment.of('analyzer-7', members)
      return performance.now() - begin
    }
    const heartbeats = Array.from({ length: 20 }, () => msOf([...ninety]))
    // Another order needs no hash, and all rankings again.
    const rankings = Array.from({ length: 20 }, (_, i) => msOf(i % 2 === 0 ? ninety.toReversed() : ninety))
    expect(Math.min(...heartbeats)).toBeLessThan(Math.min(...rankings) / 5)
  })
})
