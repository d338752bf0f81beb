import { compareEntryIds, ENTRY_ID_ZERO } from '@tidemark/shared/sample/receipt'
import type { CommitRecord } from './audit.ts'
import type { Claim } from './deployment.ts'
import type { Loss } from './loss.ts'

export interface RolledBackEvidence {
  readonly losses: readonly Loss[]
  /** What analyzers said, one by one: their metric is the sum of what each said. */
  readonly claims: readonly Claim[]
  /** Every commit that was ever applied. */
  readonly commits: readonly CommitRecord[]
}

export interface RolledBack {
  /** What Redis forgot of what it had accepted, by the harness' own count: appends that nobody saw answered may be among it. */
  readonly least: number
  readonly most: number
  /** Of each partition what the analyzer said that said most, all together. */
  readonly told: number
  /** All that all analyzers said. */
  readonly sum: number
  /** Losses of a partition whose figure could be foretold, and was right unless there is a breach. */
  readonly exact: number
  /** The samples that those took. */
  readonly exactSamples: number
  readonly breaches: readonly string[]
}

/**
 * Compares what analyzers say of samples that Redis has forgotten with what it has forgotten. No analyzer by itself ever
 * says more than was lost; and one that had read everything, and is the first to read what comes afterwards, says exactly
 * how much that was.
 */
export function judgeRolledBack({ losses, claims, commits }: RolledBackEvidence): RolledBack {
  const breaches: string[] = []
  const most = new Map<number, number>()
  let least = 0
  let exact = 0
  let exactSamples = 0
  for (const [i, loss] of losses.entries()) {
    const until = losses[i + 1]?.at ?? Number.POSITIVE_INFINITY
    for (const { partition, accepted } of loss.states.values()) {
      const { samples = 0, unanswered = 0 } = loss.before.get(partition) ?? {}
      const gone = Math.max(0, samples - accepted)
      least += gone
      most.set(partition, (most.get(partition) ?? 0) + Math.max(0, samples + unanswered - accepted))
      // What was lost before may come to light only now, unless something came in between and was read.
      const former = losses[i - 1]?.states.get(partition)?.lastEntryId ?? ENTRY_ID_ZERO
      const isNews = i === 0 || compareEntryIds(loss.before.get(partition)?.lastId ?? ENTRY_ID_ZERO, former) > 0
      const witness = isNews && unanswered === 0 ? witnessOf(loss, partition, commits, until) : undefined
      if (witness === undefined) continue
      exact++
      exactSamples += gone
      const said = sumOf(
        claims.filter(
          one => one.process === witness && one.partition === partition && one.at > loss.at && one.at <= until,
        ),
      )
      if (said !== gone) {
        breaches.push(
          `I2: ${loss.cause} took ${gone} samples of partition ${partition}, and ${witness}, which had read them all, says ${said}`,
        )
      }
    }
  }
  const byPartition = Map.groupBy(claims, ({ partition }) => partition)
  let told = 0
  for (const [partition, said] of byPartition) {
    const sums = [...Map.groupBy(said, ({ process }) => process)].map(([process, own]) => ({
      process,
      sum: sumOf(own),
    }))
    const bound = most.get(partition) ?? 0
    for (const { process, sum } of sums) {
      if (sum > bound) {
        breaches.push(`I2: ${process} says that ${sum} samples of partition ${partition} are gone; ${bound} can be`)
      }
    }
    told += Math.max(...sums.map(({ sum }) => sum))
  }
  return {
    least,
    most: [...most.values()].reduce((a, b) => a + b, 0),
    told,
    sum: sumOf(claims),
    exact,
    exactSamples,
    breaches,
  }
}

/** The analyzer that had committed everything before a loss, and was the first to commit what came after it. */
function witnessOf(
  { at, before, lastCommits }: Loss,
  partition: number,
  commits: readonly CommitRecord[],
  until: number,
): string | undefined {
  const lastId = before.get(partition)?.lastId
  const last = lastCommits.get(partition)
  if (lastId === undefined || last === undefined || compareEntryIds(last.to, lastId) < 0) return undefined
  const process = processOf(last)
  const later = commits
    .filter(one => one.partition === partition && one.at > at && one.at <= until)
    .toSorted((a, b) => a.at - b.at)
  for (const commit of later) {
    if (processOf(commit) !== process) return undefined
    if (compareEntryIds(commit.to, last.to) > 0) return process
  }
  return undefined
}

function processOf({ token }: CommitRecord): string {
  return token.slice(0, token.lastIndexOf(':'))
}

function sumOf(claims: readonly Claim[]): number {
  return claims.reduce((sum, { gone }) => sum + gone, 0)
}
