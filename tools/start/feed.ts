import { pause } from '@tidemark/shared/runtime/lifecycle'
import type { Board } from './board.ts'
import type { Display } from './display.ts'
import type { GatewayClient } from './gateway-client.ts'
import type { HostMetrics } from './host-metrics.ts'

export const FEED_INTERVAL_MS = 250

/** A verdict takes milliseconds; when it takes this long something is wrong, and the table should say so. */
const VERDICT_WAIT_MS = 2000

export interface FeedOptions {
  readonly client: GatewayClient
  /** The keys are `device/metric`. */
  readonly device: string
  readonly metrics: HostMetrics
  readonly board: Board
  readonly display: Display
}

/**
 * Sends this computer's metrics until `stop` aborts, and fetches the verdict on each sample. The next round begins when
 * the verdicts are there, so none is missed and none is counted twice; a slow round takes the place of the next ones.
 */
export async function feed(options: FeedOptions, stop: AbortSignal): Promise<void> {
  let due = performance.now()
  while (!stop.aborted) {
    const waitMs = await round(options)
    due = Math.max(due + FEED_INTERVAL_MS, performance.now() + waitMs)
    await pause(due - performance.now(), stop)
  }
}

/** One report and its verdicts. Returns how long the gateway wants to be left alone. */
async function round(options: FeedOptions): Promise<number> {
  const { client, device, metrics, board, display } = options
  const reading = await metrics.read()
  const names = Object.keys(reading)
  const outcome = await client.ingest({ device, timestamp: Date.now(), metrics: reading })
  const accepted = outcome.kind === 'unanswered' ? 0 : (outcome.result?.accepted ?? 0)
  board.countSent({ sent: names.length, accepted })
  if (outcome.kind !== 'accepted') {
    board.setTrouble(`POST /ingest: ${outcome.reason}`)
    display.update(board)
    return outcome.kind === 'busy' ? outcome.retryAfterMs : 0
  }
  const [rejection] = outcome.result.rejected
  const faults = rejection === undefined ? [] : [`POST /ingest rejected a sample: ${rejection.reason}`]
  const keys = names.map(name => `${device}/${name}`)
  faults.push(...(await takeVerdicts(options, keys, outcome.result.receipts)))
  board.setTrouble(faults[0])
  display.update(board)
  return 0
}

/** Puts the verdict on each key's sample on the board. Returns what went wrong. */
async function takeVerdicts(
  { client, board, display }: FeedOptions,
  keys: readonly string[],
  receipts: readonly string[],
): Promise<string[]> {
  const own = new Set(keys)
  const faults = await Promise.all(
    receipts.map(async receipt => {
      const outcome = await client.verdicts({ receipt, waitMs: VERDICT_WAIT_MS })
      if (outcome.kind === 'gone') return ['GET /analyze: the verdicts are not kept any more']
      if (outcome.kind === 'none') return [`GET /analyze: ${outcome.reason}`]
      for (const analysis of outcome.analyses) {
        if (!own.has(analysis.key)) continue
        const row = board.record(analysis, Date.now())
        if (analysis.anomaly) display.anomaly(row)
      }
      return []
    }),
  )
  return faults.flat()
}
