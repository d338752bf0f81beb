import { type PackedSamples, SamplePacker } from '@tidemark/shared/sample/packer'
import { formatReceipt } from '@tidemark/shared/sample/receipt'
import type { Sample } from '@tidemark/shared/sample/sample'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'
import type { GatewayConfig } from '../config.ts'
import { type Body, type BodySource, createBodyReader } from '../http/body.ts'
import { type Answer, crowdedRetryAfterS, type IngestResult, outageRetryAfterS, RequestFault } from '../http/problem.ts'
import type { GatewayMetrics, RejectionReason } from '../metrics.ts'
import type { Services } from '../services.ts'
import type { ShareOutcome } from './batcher.ts'
import type { DrainRate } from './drain-rate.ts'
import { Batch, type Rejection } from './formats/batch.ts'
import { readJson } from './formats/json.ts'
import { readNdjson } from './formats/ndjson.ts'
import { createClaims, readIdempotencyKey } from './idempotency.ts'

export interface IngestOptions {
  readonly config: GatewayConfig
  readonly metrics: GatewayMetrics
  /** Unix milliseconds. */
  readonly now: () => number
  /** Throws a RequestFault while the store is not open. */
  readonly services: () => Services
}

export interface IngestRequest extends BodySource {
  readonly trace: TraceContext | undefined
}

/** Rejects with a RequestFault for what is answered otherwise than 202. */
export type Ingest = (request: IngestRequest) => Promise<Answer>

const JSON_TYPE = { 'Content-Type': 'application/json' } as const

/**
 * What a body turned out to hold, and nothing more of it: this waits for the store, and whatever waits while others come is
 * copied by the garbage collector, object by object.
 */
interface Judged {
  /** Partitions in ascending order, so that receipts are too. */
  readonly shares: readonly PackedSamples[]
  readonly rejections: readonly Rejection[]
  /** Of each good sample, the index of its item and its partition. */
  readonly indexes: readonly number[]
  readonly partitions: readonly number[]
}

interface Unstored {
  readonly index: number
  readonly reason: string
}

/** `POST /ingest`: reads a body of any format, judges its samples one by one and answers when the store has answered. */
export function createIngest({ config, metrics, now, services }: IngestOptions): Ingest {
  const body = createBodyReader({ bytesMax: config.BODY_BYTES_MAX, bytesInFlightMax: config.BODIES_BYTES_MAX })
  const limits = {
    samplesMax: config.SAMPLES_MAX,
    keyBytesMax: config.KEY_BYTES_MAX,
    valueAbsMax: config.VALUE_ABS_MAX,
  }

  const claim = createClaims({
    ttlMs: config.IDEMPOTENCY_TTL_MS,
    samplesMax: config.QUEUE_SAMPLES_MAX,
    onRefused: metrics.rejected,
  })

  /** Made when it is known how many partitions there are. */
  let packer: SamplePacker | undefined

  /** All that is done with a body at once: loops in an asynchronous function are compiled worse, by a fifth of the whole. */
  function judge({ text, format }: Body, partitions: number): Judged {
    const batch = new Batch(limits, now())
    const fault = format === 'ndjson' ? readNdjson(text, batch) : readJson(text, batch)
    if (fault?.kind === 'malformed') throw new RequestFault({ kind: 'body-malformed', reason: fault.reason })
    if (fault?.kind === 'too-many') throw new RequestFault({ kind: 'samples-too-many', samplesMax: limits.samplesMax })
    countRejections(metrics, batch.rejections)
    packer ??= new SamplePacker(partitions)
    const { samples, rejections, indexes } = batch
    const of: number[] = []
    for (let i = 0; i < samples.length; i++) of.push(packer.add(samples[i] as Sample))
    return { shares: packer.take(), rejections, indexes, partitions: of }
  }

  /** What is answered when the store has said what became of each share. Throws a RequestFault for all but a 202. */
  function conclude(
    { shares, rejections, indexes, partitions }: Judged,
    outcomes: readonly ShareOutcome[],
    live: Services,
  ): Answer {
    const { store, drainRate } = live
    let accepted = 0
    let repeated = 0
    let retryAfterS = 0
    const receipts: string[] = []
    const unstored: Unstored[] = []
    for (let i = 0; i < shares.length; i++) {
      const { partition, count } = shares[i] as PackedSamples
      const outcome = outcomes[i] as ShareOutcome
      if (outcome.kind === 'stored' || outcome.kind === 'known') {
        accepted += count
        if (outcome.kind === 'known') repeated += count
        receipts.push(formatReceipt({ partition, id: outcome.id }))
        continue
      }
      const { reason, problem } = explain(outcome)
      metrics.rejected(reason, count)
      indexes.forEach((index, i) => {
        if (partitions[i] === partition) unstored.push({ index, reason: `sample ${index}: ${problem}` })
      })
      retryAfterS = Math.max(retryAfterS, waitS(outcome, partition, drainRate))
    }
    if (accepted > repeated) metrics.accepted(accepted - repeated)
    if (repeated > 0) metrics.repeated(repeated)

    const result = { accepted, rejected: rejectedSamples(rejections, unstored), receipts }
    // A client that reads nothing but the status must send again what we could not store, even if a part was accepted.
    if (unstored.length > 0) throw new RequestFault({ kind: 'samples-not-stored', result, retryAfterS })
    if (accepted === 0 && result.rejected.length > 0) throw new RequestFault({ kind: 'samples-invalid', result })
    return { status: 202, headers: JSON_TYPE, body: JSON.stringify({ ...result, durability: store.durability }) }
  }

  async function take(request: IngestRequest, key: string | undefined, live: Services) {
    const read = await body.read(request)
    const judged = judge(read, live.store.partitions)
    const once = key === undefined ? undefined : await claim(live, { key, ...read, samples: judged.indexes.length })
    return { judged, once }
  }

  return async request => {
    const live = services()
    const key = readIdempotencyKey(request.headers)
    const { judged, once } = await take(request, key, live)
    const { trace } = request
    const isPlain = once === undefined && trace === undefined
    const { shares } = judged
    const outcomes = await live.batcher.submit(isPlain ? shares : shares.map(share => ({ ...share, once, trace })))
    return conclude(judged, outcomes, live)
  }
}

type Refusal = Exclude<ShareOutcome, { kind: 'stored' | 'known' }>

/** Seconds after which it is worth trying again. */
function waitS(outcome: Refusal, partition: number, drainRate: DrainRate): number {
  if (outcome.kind === 'full') return drainRate.retryAfterS(partition, outcome.backlog)
  if (outcome.kind === 'no-memory') return drainRate.retryAfterS(partition)
  return outcome.kind === 'limit-reached' ? crowdedRetryAfterS(outcome.roomInMs) : outageRetryAfterS()
}

function explain(outcome: Refusal): { reason: RejectionReason; problem: string } {
  switch (outcome.kind) {
    case 'full':
      return { reason: 'full', problem: 'not stored, too many samples of its partition wait to be analysed' }
    case 'no-memory':
      return { reason: 'memory', problem: "not stored, the store's memory is at its limit" }
    case 'limit-reached':
      return { reason: 'keys', problem: 'not stored, too many requests with an Idempotency-Key are remembered' }
    case 'turned-away':
      return { reason: 'queue', problem: 'not stored, too many samples wait for the store' }
    case 'failed':
      return {
        reason: 'store',
        problem:
          outcome.error.kind === 'unknown'
            ? 'the store did not answer, so it may be stored or not'
            : 'not stored, the store did not take it',
      }
  }
}

function countRejections(metrics: GatewayMetrics, rejections: readonly Rejection[]): void {
  for (const { rule } of rejections) metrics.rejected(rule, 1)
}

/** In the order of the items. */
function rejectedSamples(rejections: readonly Rejection[], unstored: readonly Unstored[]): IngestResult['rejected'] {
  const broken = rejections.map(({ index, reason }) => ({ index, reason }))
  return unstored.length === 0 ? broken : [...broken, ...unstored].sort((a, b) => a.index - b.index)
}
