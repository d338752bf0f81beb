import type { Client } from '@tidemark/client/client'
import type { Sample } from '@tidemark/client/types'
import { Random } from '@tidemark/testkit/random'

/** Samples of each key before the present. */
const PAST = 360
const INTERVAL_MS = 10_000

interface Metric {
  readonly name: string
  readonly mean: number
  readonly spread: number
}

const METRICS: readonly Metric[] = [
  { name: 'cpu', mean: 41, spread: 3 },
  { name: 'memory', mean: 6.2e9, spread: 4e7 },
  { name: 'rps', mean: 420, spread: 9 },
  { name: 'latency', mean: 38, spread: 2.5 },
]

/** Keys with a lasting fault: its last samples of the past, and how many deviations it is off. */
const FAULTS: ReadonlyMap<string, { readonly last: number; readonly deviations: number }> = new Map([
  ['edge-07/latency', { last: 24, deviations: 14 }],
  ['edge-07/cpu', { last: 16, deviations: 9 }],
  ['edge-07/rps', { last: 14, deviations: -11 }],
  ['edge-19/memory', { last: 9, deviations: 8 }],
])

/** Sends the past and, with `next`, the present of a fleet of devices, of which some misbehave. */
export function createFleet(client: Client, devices: number) {
  const random = new Random(7)
  const keys = Array.from({ length: devices }, (_, i) => `edge-${String(i + 1).padStart(2, '0')}`).flatMap(device =>
    METRICS.map(metric => ({ key: `${device}/${metric.name}`, metric })),
  )
  function sampleAt(index: number, { key, metric }: (typeof keys)[number], timestamp: number): Sample {
    const fault = FAULTS.get(key)
    const isFaulty = fault !== undefined && index >= PAST - fault.last
    const isSpike = fault === undefined && index > PAST / 2 && random.uniform() < 0.0008
    const deviations = random.normal() + (isFaulty ? fault.deviations : isSpike ? 9 : 0)
    return { key, value: metric.mean + metric.spread * deviations, timestamp }
  }
  let index = 0
  async function send(timestamp: number): Promise<void> {
    await client.ingest(keys.map(one => sampleAt(index, one, timestamp)))
    index++
  }
  return {
    async sendPast(): Promise<void> {
      // Otherwise a lasting fault becomes usual, and its alert ends.
      const note = { who: 'mira', why: 'faults of these must not become usual' }
      const rule = { pattern: 'edge-*', influence: 'held', level_shift_after: 1000, threshold: 3 }
      await client.call('PUT', '/rules/edge', { body: { rule, ...note } })
      const begin = Date.now() - PAST * INTERVAL_MS
      while (index < PAST) await send(begin + index * INTERVAL_MS)
    },
    next: () => send(Date.now()),
  }
}
