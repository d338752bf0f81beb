import { hostname } from 'node:os'
import { formatCount, formatShare } from '../lib/format.ts'
import type { Stack } from '../stack/stack.ts'
import { Board } from './board.ts'
import { openDisplay } from './display.ts'
import { feed } from './feed.ts'
import { createGatewayClient } from './gateway-client.ts'
import { openHostMetrics, unitOf } from './host-metrics.ts'
import type { StartOptions } from './options.ts'

export interface RunContext {
  readonly stack: Stack
  readonly options: StartOptions
  readonly stop: AbortSignal
  /** Where the services' warnings go from now on. */
  readonly setOnWarning: (onWarning: (text: string) => void) => void
}

/** Feeds this computer's metrics and shows the verdicts until Ctrl-C; returns the exit code. */
export async function runFeed({ stack, options, stop, setOnWarning }: RunContext): Promise<number> {
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
    using display = openDisplay({ output: process.stdout, settings, isQuiet: options.isQuiet, now: Date.now })
    setOnWarning(text => display.notice(`tidemark: ${text}`))
    const client = createGatewayClient(stack.url)
    await feed({ client, device, metrics, board, display }, stop)
  }
  const { sent, accepted, analysed, anomalies } = board.totals
  const counts = `${formatCount(sent)} samples sent, ${formatCount(accepted)} accepted, ${formatCount(analysed)} analysed`
  process.stdout.write(`${counts}; ${formatCount(anomalies)} anomalies (${formatShare(anomalies, analysed)})\n`)
  return 0
}
