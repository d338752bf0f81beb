import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Sample } from '@tidemark/shared/sample/sample'
import type { Analysis } from '@tidemark/shared/verdict/analysis'
import type { CsvRow } from './csv.ts'
import type { GatewayClient } from './gateway-client.ts'
import type { Progress } from './progress.ts'
import type { Summary } from './summary.ts'
import { describeAnomaly } from './table.ts'

/** Samples of one request: one entry in each partition that it touches. */
const BATCH_SAMPLES_MAX = 1000

/**
 * Requests whose verdicts are not read yet. Together they must stay well below the samples whose verdicts a partition keeps
 * (VERDICTS_KEPT), or verdicts would be gone before they are read.
 */
const BATCHES_WAITING_MAX = 8

/** A sample may be sent this much before its time, so that close ones share a request. */
const EARLY_MS = 50

/** How long the verdict on an accepted sample may take. It is the pipeline's business, so far beyond what is normal. */
const VERDICT_DEADLINE_MS = 120_000

/** For one request; it is made again until the deadline. */
const VERDICT_WAIT_MS = 1000
const VERDICT_RETRY_MS = 200

/** Samples at and beyond this are written as milliseconds, those before it as seconds: the gateway tells them apart so. */
const MILLISECONDS_FROM = 1e11

export interface ReplayOptions {
  readonly rows: AsyncIterable<CsvRow>
  /** Factor of real time by the samples' timestamps; Infinity does not wait. */
  readonly speed: number
  readonly client: GatewayClient
  readonly summary: Summary
  readonly progress: Progress
}

interface FileSample extends Sample {
  readonly line: number
}

/** Samples of the file that travel together. */
interface Batch {
  readonly samples: readonly FileSample[]
  /** Bytes of the file up to the last. */
  readonly bytes: number
}

/** Samples that the gateway took, and the receipts that lead to their verdicts. */
interface Taken {
  readonly samples: readonly FileSample[]
  readonly receipts: readonly string[]
}

/**
 * Sends the file through the gateway, one request after another so that every key's samples stay in order, and reads the
 * verdict on each sample behind that. Resolves when all is analysed, or soon after `stop`.
 */
export async function replay(options: ReplayOptions, stop: AbortSignal): Promise<void> {
  const { summary, progress } = options
  const waiting = new Set<Promise<void>>()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  for await (const batch of batches(options, stop)) {
    const taken = await submit(batch.samples, options, stop)
    const reading = Promise.all(taken.map(part => readVerdicts(part, options, stop)))
      .then(() => progress.update({ bytes: batch.bytes, analysed: summary.analysed, flagged: summary.flagged }))
      .catch(failed.reject)
      .finally(() => waiting.delete(reading))
    waiting.add(reading)
    if (waiting.size >= BATCHES_WAITING_MAX) await Promise.race([...waiting, failed.promise])
    if (stop.aborted) break
  }
  await Promise.race([Promise.all(waiting), failed.promise])
}

/** The file's samples in requests, each when its time has come. */
async function* batches({ rows, speed, summary }: ReplayOptions, stop: AbortSignal): AsyncGenerator<Batch> {
  let samples: FileSample[] = []
  let bytes = 0
  let origin: { readonly at: number; readonly timestamp: number } | undefined
  const take = (): Batch => {
    const batch = { samples, bytes }
    samples = []
    return batch
  }
  for await (const row of rows) {
    if (stop.aborted) return
    if (row.kind === 'refused') {
      summary.refuse(row.line, row.reason)
      continue
    }
    origin ??= { at: performance.now(), timestamp: row.sample.timestamp }
    const dueAt = origin.at + (row.sample.timestamp - origin.timestamp) / speed
    if (dueAt - performance.now() > EARLY_MS) {
      if (samples.length > 0) yield take()
      await pause(dueAt - performance.now(), stop)
    }
    samples.push({ ...row.sample, line: row.line })
    bytes = row.bytes
    if (samples.length >= BATCH_SAMPLES_MAX) yield take()
  }
  if (samples.length > 0) yield take()
}

/**
 * Sends samples until the gateway has judged each. A busy gateway may have taken some partitions' samples and not the
 * others', so what it took is more than one part; each partition's samples stay in order all the same.
 */
async function submit(
  samples: readonly FileSample[],
  { client, summary }: ReplayOptions,
  stop: AbortSignal,
): Promise<readonly Taken[]> {
  const taken: Taken[] = []
  let pending = samples
  while (pending.length > 0 && !stop.aborted) {
    const outcome = await client.ingest(pending.map(toBody))
    // Sending them again could count samples twice, and a summary that may be wrong is none.
    if (outcome.kind === 'unanswered') throw new Error(`the gateway did not answer: ${outcome.reason}`)
    const { result } = outcome
    if (result === undefined) {
      const [first, last] = [pending[0]?.line, pending.at(-1)?.line]
      if (outcome.kind === 'refused')
        throw new Error(`the gateway refused lines ${first} to ${last}: ${outcome.reason}`)
    } else {
      const reasons = new Map(result.rejected.map(({ index, reason }) => [index, reason]))
      taken.push({ samples: pending.filter((_, index) => !reasons.has(index)), receipts: result.receipts })
      if (outcome.kind !== 'busy') {
        for (const [index, reason] of reasons) summary.refuse(pending[index]?.line ?? 0, withoutIndex(reason))
        return taken
      }
      // Those that broke a rule are among them, and will be rejected for it in the end.
      pending = pending.filter((_, index) => reasons.has(index))
    }
    if (outcome.kind === 'busy') await pause(outcome.retryAfterMs, stop)
  }
  return taken
}

function toBody({ key, value, timestamp }: FileSample): Sample {
  return { key, value, timestamp: timestamp < MILLISECONDS_FROM ? timestamp / 1000 : timestamp }
}

/** The gateway names a sample by its place in the request; here it has a line. */
function withoutIndex(reason: string): string {
  return reason.replace(/^sample \d+: /, '')
}

/** Puts the verdict on every one of the samples into the summary. */
async function readVerdicts({ samples, receipts }: Taken, options: ReplayOptions, stop: AbortSignal): Promise<void> {
  const { summary, progress, speed } = options
  const keys = new Set(samples.map(({ key }) => key))
  const verdicts = await Promise.all(receipts.map(receipt => verdictsOf(receipt, options, stop)))
  // In an entry there may be samples of others, who sent at the same moment.
  const analyses = verdicts.flat().filter(({ key }) => keys.has(key))
  for (const analysis of analyses) {
    summary.add(analysis)
    const isLive = Number.isFinite(speed) && analysis.anomaly
    if (isLive) progress.say(describeAnomaly(analysis, 'none', new Date(analysis.timestamp)))
  }
  summary.countUnknown(Math.max(0, samples.length - analyses.length))
}

/** The verdicts on an entry once it is analysed; none when they are not kept any more, or not there when all is stopped. */
async function verdictsOf(receipt: string, { client }: ReplayOptions, stop: AbortSignal): Promise<readonly Analysis[]> {
  const deadline = performance.now() + VERDICT_DEADLINE_MS
  for (;;) {
    const outcome = await client.verdicts({ receipt, waitMs: VERDICT_WAIT_MS })
    if (outcome.kind === 'analyses') return outcome.analyses
    if (outcome.kind === 'gone' || stop.aborted) return []
    if (performance.now() > deadline) throw new Error(`no verdicts on ${receipt}: ${outcome.reason}`)
    await pause(VERDICT_RETRY_MS, stop)
  }
}
