import { createHash } from 'node:crypto'

/**
 * Returns the partitions that `member` should own; all `members` compute the same assignment.
 *
 * Rendezvous hashing (Thaler, Ravishankar, 1998): a partition goes to the member with the highest
 * score for it, so that a change of members moves few partitions. A member owns at most
 * ceil(partitions / members), beyond which the partition goes to the next in its ranking
 * ("Consistent Hashing with Bounded Loads", Mirrokni et al., 2016).
 */
export function assignedTo(member: string, members: readonly string[], partitions: number): number[] {
  const capacity = Math.ceil(partitions / Math.max(1, members.length))
  const load = new Map<string, number>()
  const mine: number[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const owner = ranking(partition, members).find(candidate => (load.get(candidate) ?? 0) < capacity)
    if (owner === undefined) continue
    load.set(owner, (load.get(owner) ?? 0) + 1)
    if (owner === member) mine.push(partition)
  }
  return mine
}

/** Returns the members by their score for a partition, highest first; names break ties. */
function ranking(partition: number, members: readonly string[]): string[] {
  return members
    .map(member => ({ member, score: score(partition, member) }))
    .sort((a, b) => b.score - a.score || (a.member < b.member ? -1 : 1))
    .map(({ member }) => member)
}

/** Returns 48 well mixed bits: by crc32, similar names would get correlated scores. */
function score(partition: number, member: string): number {
  return createHash('sha256').update(`${partition}/${member}`).digest().readUIntBE(0, 6)
}
