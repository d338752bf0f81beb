import type { Client } from '@tidemark/client/client'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { until } from './wait.ts'

const KEYS = 40
const EVERY_MS = 50
const SAMPLES_EACH = 10
const ANALYSED_LIMIT_S = 180

/** What the partitions count, in total. */
export interface Totals {
  readonly accepted: number
  readonly analysed: number
  readonly dead: number
  readonly lost: number
  readonly backlog: number
}

/** What became of the samples that were sent while something happened. */
export interface TrafficResult {
  readonly sent: number
  readonly analysed: number
  readonly dead: number
  /** Accepted with 202 and not analysed, or counted as lost. */
  readonly lost: number
  /** Accepted more often than sent. */
  readonly doubled: number
  /** The longest time that a client needed to get a batch accepted, with its retries. */
  readonly longestMs: number
}

export async function readTotals(client: Client): Promise<Totals> {
  const { pipeline } = await client.overview()
  if (pipeline === null) throw new Error('the API key is bound to a prefix, so the gateway does not show the totals')
  const { partitions, lost } = pipeline
  const sum = (of: (partition: (typeof partitions)[number]) => number) =>
    partitions.map(of).reduce((total, one) => total + one, 0)
  return {
    accepted: sum(({ accepted }) => accepted),
    analysed: sum(({ analysed }) => analysed),
    dead: sum(({ dead }) => dead),
    lost,
    backlog: sum(({ backlog }) => backlog),
  }
}

/** Returns the totals once all accepted samples have been analysed, or are dead letters. */
export function settledTotals(client: Client, accepted: number, stop: AbortSignal): Promise<Totals> {
  return until(`${accepted} samples accepted and analysed`, ANALYSED_LIMIT_S, stop, async () => {
    const totals = await readTotals(client)
    const isSettled = totals.backlog <= 0 && totals.accepted >= accepted
    return isSettled && totals.analysed + totals.dead + totals.lost >= totals.accepted ? totals : undefined
  })
}

/** Sends samples while `work` runs, and returns what became of each. */
export async function withTraffic(
  client: Client,
  stop: AbortSignal,
  work: () => Promise<void>,
): Promise<TrafficResult> {
  const before = await settledTotals(client, 0, stop)
  const ending = new AbortController()
  const sending = sendUntil(client, AbortSignal.any([ending.signal, stop]))
  let sent: { samples: number; longestMs: number }
  try {
    await work()
  } finally {
    ending.abort()
    sent = await sending
  }
  const after = await settledTotals(client, before.accepted + sent.samples, stop)
  const [analysed, dead] = [after.analysed - before.analysed, after.dead - before.dead]
  const lost = after.lost - before.lost + Math.max(0, sent.samples - analysed - dead)
  const doubled = Math.max(0, after.accepted - before.accepted - sent.samples)
  return { sent: sent.samples, analysed, dead, lost, doubled, longestMs: sent.longestMs }
}

/** Sends batches, one after the other, each until it is accepted. */
async function sendUntil(client: Client, stop: AbortSignal): Promise<{ samples: number; longestMs: number }> {
  let samples = 0
  let longestMs = 0
  for (let turn = 0; !stop.aborted; turn++) {
    const batch = Array.from({ length: SAMPLES_EACH }, (_, i) => ({
      key: `cluster/traffic-${(turn * SAMPLES_EACH + i) % KEYS}`,
      value: 100 + 10 * Math.sin(turn / 20) + i,
      timestamp: Date.now(),
    }))
    const begin = performance.now()
    const { accepted } = await client.ingest(batch)
    samples += accepted
    longestMs = Math.max(longestMs, performance.now() - begin)
    await pause(EVERY_MS, stop)
  }
  return { samples, longestMs: Math.round(longestMs) }
}
