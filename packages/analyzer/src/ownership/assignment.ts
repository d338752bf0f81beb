import { createHash } from 'node:crypto'

/** Returns a member's score for a partition. */
export type Score = (partition: number, member: string) => number

/**
 * Computes which partitions each member should own; all members compute the same assignment.
 *
 * Rendezvous hashing (Thaler, Ravishankar, 1998): a partition goes to the member with the highest
 * score for it, so that a change of members moves few partitions. A member owns at most
 * ceil(partitions / members), beyond which the partition goes to the next in its ranking
 * ("Consistent Hashing with Bounded Loads", Mirrokni et al., 2016).
 *
 * Every heartbeat computes the assignment. Its hashes and rankings would take longer than the time
 * between two of them (1,024 partitions, 90 members), so both are kept until the members change.
 */
export class Assignment {
  readonly #partitions: number
  readonly #score: Score
  /** By member, then by partition. */
  #scores = new Map<string, Float64Array>()
  #members: readonly string[] = []
  /** By partition. */
  #owners: readonly (string | undefined)[] = []

  constructor(partitions: number, score: Score = hashScore) {
    this.#partitions = partitions
    this.#score = score
  }

  /** Returns the partitions that `member` should own, in order. */
  of(member: string, members: readonly string[]): number[] {
    if (!isEqual(members, this.#members)) this.#compute([...members])
    return this.#owners.flatMap((owner, partition) => (owner === member ? [partition] : []))
  }

  #compute(members: readonly string[]): void {
    const scores = new Map(members.map(member => [member, this.#scores.get(member) ?? this.#scoresOf(member)]))
    const rows = members.map(member => ({ member, scores: scores.get(member) as Float64Array, load: 0 }))
    const capacity = Math.ceil(this.#partitions / Math.max(1, rows.length))
    this.#owners = Array.from({ length: this.#partitions }, (_, partition) => {
      let best: (typeof rows)[number] | undefined
      for (const row of rows) {
        if (row.load >= capacity) continue
        const lead = best === undefined ? 1 : (row.scores[partition] as number) - (best.scores[partition] as number)
        // Names break ties.
        if (best === undefined || lead > 0 || (lead === 0 && row.member < best.member)) best = row
      }
      if (best !== undefined) best.load++
      return best?.member
    })
    this.#scores = scores
    this.#members = members
  }

  #scoresOf(member: string): Float64Array {
    return Float64Array.from({ length: this.#partitions }, (_, partition) => this.#score(partition, member))
  }
}

function isEqual(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((member, i) => member === b[i])
}

/** Returns 48 well mixed bits: by crc32, similar names would get correlated scores. */
function hashScore(partition: number, member: string): number {
  return createHash('sha256').update(`${partition}/${member}`).digest().readUIntBE(0, 6)
}
