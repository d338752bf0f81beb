import { hostname } from 'node:os'
import { Client } from '@tidemark/client/client'
import { TidemarkError } from '@tidemark/client/error'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { formatCount, formatShare } from '../lib/format.ts'
import type { Stack } from '../stack/stack.ts'
import { Board } from './board.ts'
import { type Display, openDisplay } from './display.ts'
import { type HostMetrics, openHostMetrics, unitOf } from './host-metrics.ts'
import type { StartOptions } from './options.ts'

const FEED_INTERVAL_MS = 250

const RETRY_AFTER_DEFAULT_MS = 1000

/** A verdict takes milliseconds. After this time the table shows a failure. */
const VERDICT_WAIT_MS = 2000

export interface RunContext {
  readonly stack: Stack
  readonly options: StartOptions
  readonly stop: AbortSignal
  /** Shows the services' warnings; a display replaces `show`. */
  readonly warnings: { show: (text: string) => void }
}

/** Sends this computer's metrics and shows the verdicts until Ctrl-C; returns the exit code. */
export async function runFeed({ stack, options, stop, warnings }: RunContext): Promise<number> {
  using metrics = await openHostMetrics()
  const device = hostname() || 'localhost'
  const board = new Board()
  const settings = {
    url: stack.url,
    redis: stack.redis,
    analyzers: options.analyzers,
    startedAt: Date.now(),
    unitOf: (key: string) => unitOf(key.slice(device.length + 1)),
  }
  {
    using display = openDisplay({ output: process.stdout, settings, isQuiet: options.isQuiet })
    warnings.show = text => display.notice(`tidemark: ${text}`)
    await feed({ client: new Client({ url: stack.url }), device, metrics, board, display }, stop)
  }
  const { sent, accepted, analysed, anomalies } = board.totals
  const counts = `${formatCount(sent)} samples sent, ${formatCount(accepted)} accepted, ${formatCount(analysed)} analysed`
  process.stdout.write(`${counts}; ${formatCount(anomalies)} anomalies (${formatShare(anomalies, analysed)})\n`)
  return 0
}

interface Feed {
  readonly client: Client
  /** The keys are `device/metric`. */
  readonly device: string
  readonly metrics: HostMetrics
  readonly board: Board
  readonly display: Display
}

/**
 * Sends the metrics until `stop` aborts. A round begins after all verdicts of the last one arrived,
 * so none is missed or counted twice; a slow round delays the next one.
 */
async function feed(options: Feed, stop: AbortSignal): Promise<void> {
  let dueAt = performance.now()
  while (!stop.aborted) {
    const waitMs = await sendRound(options)
    dueAt = Math.max(dueAt + FEED_INTERVAL_MS, performance.now() + waitMs)
    // Node warns about a negative time, which a slow round causes.
    await pause(Math.max(0, dueAt - performance.now()), stop)
  }
}

/** Sends one report and reads its verdicts. Returns how long to wait before the next request. */
async function sendRound(options: Feed): Promise<number> {
  const { client, device, metrics, board, display } = options
  const reading = await metrics.read()
  const keys = new Set(Object.keys(reading).map(name => `${device}/${name}`))
  const report = { device, timestamp: Date.now(), metrics: reading }
  let retryAfterMs = 0
  try {
    // The next round comes soon: a retry of this one would delay it.
    const result = await client.ingest(report, { idempotencyKey: null, retryForMs: 0 })
    board.countSent({ sent: keys.size, accepted: result.accepted })
    const failures = await Promise.all(result.receipts.map(receipt => readVerdicts(receipt, options, keys)))
    const [rejected] = result.rejected.map(({ reason }) => `POST /ingest rejected a sample: ${reason}`)
    board.setFailure(rejected ?? failures.find(failure => failure !== undefined))
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error
    board.countSent({ sent: keys.size, accepted: error.problem?.accepted ?? 0 })
    board.setFailure(error.message)
    if (error.isTemporary) retryAfterMs = error.retryAfterMs ?? RETRY_AFTER_DEFAULT_MS
  }
  display.update(board)
  return retryAfterMs
}

/** Records the verdicts of an entry on the samples of `keys`. Returns a failure if there is one. */
async function readVerdicts(receipt: string, { client, board, display }: Feed, keys: ReadonlySet<string>) {
  const analyses = await client.verdicts(receipt, { waitForMs: VERDICT_WAIT_MS }).catch(failureOf)
  if (analyses instanceof TidemarkError) {
    return analyses.status === 404 ? 'GET /analyze: the verdicts are not kept any more' : analyses.message
  }
  for (const analysis of analyses) {
    if (!keys.has(analysis.key)) continue
    const row = board.record(analysis, Date.now())
    if (analysis.anomaly) display.anomaly(row)
  }
  return undefined
}

/** Returns a failed request as a value. Anything else is a bug. */
function failureOf(error: unknown): TidemarkError {
  if (error instanceof TidemarkError) return error
  throw error
}
