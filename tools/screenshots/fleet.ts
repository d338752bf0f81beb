import type { Client } from '@tidemark/client/client'
import type { Sample, WrittenRule } from '@tidemark/client/types'
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

/** Rules that the views show, in the order in which they are put. */
const RULES: readonly (readonly [rule: WrittenRule, why: string])[] = [
  [{ id: 'edge-cpu', pattern: 'edge-*/cpu', direction: 'up' }, 'only high values matter'],
  [
    {
      ...{ id: 'edge-cpu', pattern: 'edge-*/cpu', direction: 'up', threshold: 3, influence: 'held' },
      ...{ level_shift_after: 1000, unit: '%' },
    },
    'a fault must not become usual',
  ],
  [
    { id: 'memory-critical', pattern: '*/memory', max: 7e9, alert: { severity: 'critical', hold: '2m' }, shadow: true },
    'is it quiet enough to page?',
  ],
]

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
      await client.putRule({ id: 'edge', ...rule }, note)
      for (const [rule, why] of RULES) await client.putRule(rule, { who: 'ole', why })
      const begin = Date.now() - PAST * INTERVAL_MS
      while (index < PAST) await send(begin + index * INTERVAL_MS)
    },
    next: () => send(Date.now()),
  }
}
