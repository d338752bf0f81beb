import type { PackedSamples } from '@tidemark/shared/sample/packer'
import { formatReceipt } from '@tidemark/shared/sample/receipt'
import { RequestFault } from '../http/problem.ts'
import { type DrainRate, keysRetryAfterS, outageRetryAfterS } from '../http/retry-after.ts'
import type { GatewayMetrics, RejectionReason, SkipReason } from '../metrics.ts'
import type { Services, SubBatchOutcome } from '../services.ts'
import type { Rejection } from './formats/batch.ts'
import type { IngestResult, Protocol } from './protocol.ts'

/** What a body contained, and nothing else: the garbage collector copies all that waits. */
export interface ReadBatch {
  /** By ascending partition, so that receipts are ascending too. */
  readonly subBatches: readonly PackedSamples[]
  readonly rejections: readonly Rejection[]
  readonly skipped: ReadonlyMap<SkipReason, number>
  /** Of each valid sample, the index of its item and its partition. */
  readonly indexes: readonly number[]
  readonly partitions: readonly number[]
  /** The prefix that the client's API key is bound to. */
  readonly keyPrefix: string
}

/** Returns the result for the outcomes of all sub-batches. Throws a RequestFault for an outage. */
export function settle(
  { subBatches, rejections, skipped, indexes, partitions, keyPrefix }: ReadBatch,
  outcomes: readonly SubBatchOutcome[],
  { name, nameOf }: Pick<Protocol, 'name' | 'nameOf'>,
  { store, drainRate }: Services,
  metrics: GatewayMetrics,
): IngestResult {
  let accepted = 0
  let repeated = 0
  let retryAfterS = 0
  const receipts: string[] = []
  /** By partition, why its samples were not stored. */
  let problems: Map<number, string> | undefined
  for (let i = 0; i < subBatches.length; i++) {
    const { partition, count } = subBatches[i] as PackedSamples
    const outcome = outcomes[i] as SubBatchOutcome
    if (outcome.kind === 'stored' || outcome.kind === 'known') {
      accepted += count
      if (outcome.kind === 'known') repeated += count
      receipts.push(formatReceipt({ partition, id: outcome.id }))
      continue
    }
    const [reason, problem, seconds] = explain(outcome, partition, drainRate)
    metrics.rejected(reason, count)
    problems ??= new Map()
    problems.set(partition, problem)
    retryAfterS = Math.max(retryAfterS, seconds)
  }
  if (accepted > repeated) metrics.ingested(name, accepted - repeated)
  if (repeated > 0) metrics.repeated(repeated)

  if (outcomes.some(({ kind }) => kind === 'crashed')) throw new RequestFault({ kind: 'internal' })
  // A client that reads only the status must retry, even if a part was accepted.
  if (problems !== undefined) {
    const rejected = rejections.map(({ index, reason }) => ({ index, reason }))
    indexes.forEach((index, i) => {
      const problem = problems?.get(partitions[i] as number)
      if (problem !== undefined) rejected.push({ index, reason: `${nameOf({ index })} ${problem}` })
    })
    rejected.sort((a, b) => a.index - b.index)
    const members = { accepted, rejected, receipts }
    throw new RequestFault({ kind: 'samples-not-stored', stored: accepted, members, retryAfterS })
  }
  return { accepted, rejections, skipped, receipts, keyPrefix, durability: store.durability }
}

type NotStored = Exclude<SubBatchOutcome, { kind: 'stored' | 'known' }>

/** Why a sub-batch was not stored, for the metric and for the client, and when to retry. */
type Explanation = readonly [RejectionReason, problem: string, retryAfterS: number]

export function explain(outcome: NotStored, partition: number, drainRate: DrainRate): Explanation {
  switch (outcome.kind) {
    case 'crashed':
      return ['internal', 'it may or may not be stored', outageRetryAfterS()]
    case 'backlog-full': {
      const seconds = drainRate.retryAfterS(partition, outcome.backlog)
      return ['full', 'not stored, the backlog of its partition is full', seconds]
    }
    case 'no-memory':
      return ['memory', "not stored, the store's memory is at its limit", drainRate.retryAfterS(partition)]
    case 'limit-reached':
      return ['keys', 'not stored, the limit of kept Idempotency-Keys is reached', keysRetryAfterS(outcome.roomInMs)]
    case 'rejected':
      return ['queue', 'not stored, too many samples wait for the store', outageRetryAfterS()]
    case 'failed': {
      const isUnknown = outcome.error.kind === 'unknown'
      const unknown = 'the store did not respond, so the sample may or may not be stored'
      return ['store', isUnknown ? unknown : 'not stored, the store rejected it', outageRetryAfterS()]
    }
  }
}
