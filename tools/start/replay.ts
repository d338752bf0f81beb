import { Client } from '@tidemark/client/client'
import { TidemarkError } from '@tidemark/client/error'
import type { Analysis, IngestResult } from '@tidemark/client/types'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Sample } from '@tidemark/shared/sample/sample'
import { type CsvOptions, CsvParser } from '../lib/csv/parser.ts'
import { dryRun, readItems, reportLines, toBody } from '../lib/csv/read.ts'
import { formatCount } from '../lib/format.ts'
import { openProgress, type Progress } from '../lib/progress.ts'
import { type CsvFile, chunksOf, withProblems } from './csv-file.ts'
import type { RunContext } from './feed.ts'
import { Summary } from './summary.ts'
import { describeAnomaly } from './table.ts'

/** Samples of one request. Each request is one entry in every partition that it touches. */
const BATCH_SAMPLES_MAX = 1000

/** Requests with unread verdicts. Their samples stay well below VERDICTS_KEPT, or some are gone. */
const BATCHES_WAITING_MAX = 8

/** How much before its time a sample may be sent, so that samples close in time share a request. */
const EARLY_MS = 50

/** How long the verdict on an accepted sample may take, far beyond the normal latency. */
const VERDICT_DEADLINE_MS = 120_000

interface Replay {
  readonly file: CsvFile
  readonly parser: CsvParser
  /** Factor of real time by the samples' timestamps; Infinity does not wait. */
  readonly speed: number
  readonly client: Client
  readonly summary: Summary
  readonly progress: Progress
}

interface FileSample extends Sample {
  readonly line: number
}

/** Samples that the gateway accepted, and the receipts of their verdicts. */
interface Accepted {
  readonly samples: readonly FileSample[]
  readonly receipts: readonly string[]
}

/** Replays a file, prints a summary; returns 1 if none was analysed or verdicts are missing. */
export async function runReplay({ stack, options, stop, warnings }: RunContext, file: CsvFile): Promise<number> {
  const summary = new Summary()
  const parser = new CsvParser(options.csvOptions, file.key)
  const begin = performance.now()
  {
    const total = file.size > 0 ? { total: file.size } : {}
    using progress = openProgress({ output: process.stdout, ...total, isQuiet: options.isQuiet, lineEveryMs: 2000 })
    warnings.show = text => progress.say(`tidemark: ${text}`)
    const client = new Client({ url: stack.url })
    const run = { file, parser, speed: options.speed, client, summary, progress }
    await withProblems(file.name, () => replay(run, stop))
  }
  const input = reportLines(parser, file.key, Date.now())
  const title = stop.aborted ? `Stopped within ${file.name}; until then:` : `Replayed ${file.name}:`
  process.stdout.write(`\n${summary.render({ title, input, durationMs: performance.now() - begin })}\n`)
  if (stop.aborted) return 0
  return summary.analysed === 0 || summary.unknown > 0 ? 1 : 0
}

/** Prints how a file is read and its first samples; returns 1 if it has none. */
export async function runDryRun(file: CsvFile, options: CsvOptions): Promise<number> {
  const parser = new CsvParser(options, file.key)
  const run = { parser, defaultKey: file.key, now: Date.now() }
  const { text, samples } = await withProblems(file.name, () => dryRun(chunksOf(file), run))
  process.stdout.write(`${file.name}\n${text}\n`)
  return samples > 0 ? 0 : 1
}

/**
 * Sends the file, one request after the other so that every key's samples stay in order, and reads
 * verdicts concurrently. Resolves when every sample is analysed, or soon after `stop`.
 */
async function replay(options: Replay, stop: AbortSignal): Promise<void> {
  const { summary, progress } = options
  const waiting = new Set<Promise<void>>()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  for await (const batch of batches(options, stop)) {
    const accepted = await submit(batch.samples, options, stop)
    if (accepted === undefined) break
    const reading = readVerdicts(accepted, options, stop)
      .then(() => {
        const counts = `${formatCount(summary.analysed)} samples analysed, ${formatCount(summary.anomalies)} anomalies`
        progress.update(batch.bytes, counts)
      })
      .catch(failed.reject)
      .finally(() => waiting.delete(reading))
    waiting.add(reading)
    if (waiting.size >= BATCHES_WAITING_MAX) await Promise.race([...waiting, failed.promise])
    if (stop.aborted) break
  }
  await Promise.race([Promise.all(waiting), failed.promise])
}

/** Yields the file's samples as batches, each at its time, with the bytes of the file up to it. */
async function* batches({ file, parser, speed, summary }: Replay, stop: AbortSignal) {
  let samples: FileSample[] = []
  let bytes = 0
  let origin: { readonly at: number; readonly timestamp: number } | undefined
  const take = () => {
    const batch = { samples, bytes }
    samples = []
    return batch
  }
  for await (const item of readItems(chunksOf(file), parser)) {
    if (stop.aborted) return
    if (item.kind === 'refused') summary.reject(item.line, item.reason)
    if (item.kind !== 'sample') continue
    const { sample, line } = item
    origin ??= { at: performance.now(), timestamp: sample.timestamp }
    const dueAt = origin.at + (sample.timestamp - origin.timestamp) / speed
    if (dueAt - performance.now() > EARLY_MS) {
      if (samples.length > 0) yield take()
      await pause(dueAt - performance.now(), stop)
    }
    samples.push({ ...sample, line })
    bytes = item.bytes
    if (samples.length >= BATCH_SAMPLES_MAX) yield take()
  }
  if (samples.length > 0) yield take()
}

/** Sends samples until each is accepted or rejected; undefined if `stop` aborts first. */
async function submit(samples: readonly FileSample[], { client, summary }: Replay, stop: AbortSignal) {
  const result = await ingest(samples, client, stop)
  if (result === undefined) return undefined
  const rejected = new Set(result.rejected.map(({ index }) => index))
  // The summary names the line instead of the sample's index in its request.
  for (const { index, reason } of result.rejected) {
    summary.reject(samples[index]?.line ?? 0, reason.replace(/^sample \d+: /, ''))
  }
  return { samples: samples.filter((_, index) => !rejected.has(index)), receipts: result.receipts }
}

type Outcome = Pick<IngestResult, 'rejected' | 'receipts'>

async function ingest(samples: readonly FileSample[], client: Client, stop: AbortSignal): Promise<Outcome | undefined> {
  try {
    return await client.ingest(samples.map(toBody), { retryForMs: Number.POSITIVE_INFINITY, signal: stop })
  } catch (error) {
    if (stop.aborted) return undefined
    if (!(error instanceof TidemarkError)) throw error
    const { rejected, receipts } = error.problem ?? {}
    if (rejected !== undefined && receipts !== undefined) return { rejected, receipts }
    throw new Error(`the gateway rejected lines ${samples[0]?.line} to ${samples.at(-1)?.line}: ${error.message}`, {
      cause: error,
    })
  }
}

async function readVerdicts({ samples, receipts }: Accepted, options: Replay, stop: AbortSignal): Promise<void> {
  const { summary, progress, speed } = options
  const keys = new Set(samples.map(({ key }) => key))
  const verdicts = await Promise.all(receipts.map(receipt => verdictsOf(receipt, options, stop)))
  // An entry may also contain samples that other clients sent at the same time.
  const analyses = verdicts.flat().filter(({ key }) => keys.has(key))
  for (const analysis of analyses) {
    summary.add(analysis)
    const isLive = Number.isFinite(speed) && analysis.anomaly
    if (isLive) progress.say(describeAnomaly(analysis, 'none', new Date(analysis.timestamp)))
  }
  summary.unknown += Math.max(0, samples.length - analyses.length)
}

/** Returns the verdicts on an entry; none if they are not kept any more or `stop` aborts first. */
async function verdictsOf(receipt: string, { client }: Replay, stop: AbortSignal): Promise<readonly Analysis[]> {
  try {
    return await client.verdicts(receipt, { waitForMs: VERDICT_DEADLINE_MS, signal: stop })
  } catch (error) {
    if (stop.aborted || (error instanceof TidemarkError && error.status === 404)) return []
    throw error
  }
}
