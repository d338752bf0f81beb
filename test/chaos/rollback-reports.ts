import { compareEntryIds, ENTRY_ID_ZERO } from '@tidemark/shared/sample/receipt'
import type { CommitRecord } from './audit.ts'
import type { RollbackReport } from './deployment.ts'
import type { Loss } from './loss.ts'
import type { Kill } from './world.ts'

/** A process writes its log lines within this time. A kill loses those that it has not written. */
const LINES_WRITTEN_MS = 1000

/** Longer than the proxies hold replies back before Redis is flushed. */
const REPLIES_HELD_MS = 250

export interface RollbackEvidence {
  readonly losses: readonly Loss[]
  /** What analyzers reported, one by one: a metric is the sum of one analyzer's reports. */
  readonly rollbackReports: readonly RollbackReport[]
  /** Every commit that was ever applied. */
  readonly commits: readonly CommitRecord[]
  readonly kills: readonly Pick<Kill, 'process' | 'at'>[]
}

export interface RollbackComparison {
  /** The loss as counted by the harness. Appends without a response may be part of it. */
  readonly least: number
  readonly most: number
  /** The highest figure of any analyzer, summed over the partitions. */
  readonly reported: number
  /** The sum of all reports of all analyzers. */
  readonly sum: number
  /** Losses for which the exact figure is known, so that the report can be checked. */
  readonly exact: number
  /** The samples of these losses. */
  readonly exactSamples: number
  readonly violations: readonly string[]
}

/**
 * Compares what analyzers report as rolled back with what Redis lost. No analyzer reports more than
 * was lost. One that had read everything, is the first to read what came after, and lives on,
 * reports the exact number.
 */
export function compareRollbacks({ losses, rollbackReports, commits, kills }: RollbackEvidence): RollbackComparison {
  const violations: string[] = []
  const most = new Map<number, number>()
  let least = 0
  let exact = 0
  let exactSamples = 0
  for (const [i, loss] of losses.entries()) {
    const until = losses[i + 1]?.at ?? Number.POSITIVE_INFINITY
    for (const { partition, accepted } of loss.states.values()) {
      const { samples = 0, unconfirmed = 0 } = loss.before.get(partition) ?? {}
      const lost = Math.max(0, samples - accepted)
      least += lost
      most.set(partition, (most.get(partition) ?? 0) + Math.max(0, samples + unconfirmed - accepted))
      // A loss may be detected only at the next one, unless an entry was read in between.
      const former = losses[i - 1]?.states.get(partition)?.lastEntryId ?? ENTRY_ID_ZERO
      const isNews = i === 0 || compareEntryIds(loss.before.get(partition)?.lastId ?? ENTRY_ID_ZERO, former) > 0
      const evidence = isNews && unconfirmed === 0 ? witnessOf(loss, partition, commits, until) : undefined
      if (evidence === undefined) continue
      const { witness, commit } = evidence
      if (kills.some(({ process, at }) => process === witness && at < commit.at + LINES_WRITTEN_MS)) continue
      exact++
      exactSamples += lost
      const reported = sumOf(
        rollbackReports.filter(
          one => one.process === witness && one.partition === partition && one.at > loss.at && one.at <= until,
        ),
      )
      if (reported !== lost) {
        violations.push(
          `I2: ${loss.cause} lost ${lost} samples of partition ${partition}; ${witness} had read all of them, committed up to ${commit.to} ${Math.round(commit.at - loss.at)} ms later, but reported ${reported}`,
        )
      }
    }
  }
  const byPartition = Map.groupBy(rollbackReports, ({ partition }) => partition)
  let reported = 0
  for (const [partition, reports] of byPartition) {
    const sums = [...Map.groupBy(reports, ({ process }) => process)].map(([process, own]) => ({
      process,
      sum: sumOf(own),
    }))
    const bound = most.get(partition) ?? 0
    for (const { process, sum } of sums) {
      if (sum > bound) {
        violations.push(
          `I2: ${process} reported ${sum} lost samples of partition ${partition}; at most ${bound} were lost`,
        )
      }
    }
    reported += Math.max(...sums.map(({ sum }) => sum))
  }
  return {
    least,
    most: [...most.values()].reduce((a, b) => a + b, 0),
    reported,
    sum: sumOf(rollbackReports),
    exact,
    exactSamples,
    violations,
  }
}

/** The analyzer that had committed everything before a loss and goes on first, and how it does. */
function witnessOf(
  { at, cause, before, lastCommits }: Loss,
  partition: number,
  commits: readonly CommitRecord[],
  until: number,
): { readonly witness: string; readonly commit: CommitRecord } | undefined {
  const lastId = before.get(partition)?.lastId
  const last = lastCommits.get(partition)
  if (lastId === undefined || last === undefined || compareEntryIds(last.to, lastId) < 0) return undefined
  // Replies do not reach analyzers just before Redis is flushed: the commit may be news to its own.
  if (cause === 'flush-all' && at - last.at < REPLIES_HELD_MS) return undefined
  const process = processOf(last)
  const later = commits
    .filter(one => one.partition === partition && one.at > at && one.at <= until)
    .toSorted((a, b) => a.at - b.at)
  for (const commit of later) {
    if (processOf(commit) !== process) return undefined
    if (compareEntryIds(commit.to, last.to) > 0) return { witness: process, commit }
  }
  return undefined
}

function processOf({ token }: CommitRecord): string {
  return token.slice(0, token.lastIndexOf(':'))
}

function sumOf(rollbackReports: readonly RollbackReport[]): number {
  return rollbackReports.reduce((sum, { lost }) => sum + lost, 0)
}
