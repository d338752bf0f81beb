import { Client } from '@tidemark/client/client'
import type { Analysis, LoadAnalysis } from '@tidemark/client/types'
import { Random } from '@tidemark/testkit/random'
import type { Panel } from '../lib/plot.ts'

/** An experiment: a stable stream within 400 to 450, then a burst to 900. */
const STABLE = { samples: 300, low: 400, high: 450 } as const
const BURST = { samples: 20, low: 895, high: 905 } as const
const AFTER = { ...STABLE, samples: 60 } as const
const CPU = { low: 20, high: 30 } as const

const KEY = 'default/rps'

export interface StreamPoint {
  readonly phase: 'stable' | 'burst' | 'after'
  readonly analysis: Analysis
}

export interface StreamResult {
  readonly points: readonly StreamPoint[]
  /** The legacy fields of `GET /analyze` at the end of the stable stream. */
  readonly legacy: Pick<LoadAnalysis, 'rps_avg' | 'anomaly' | 'window'>
  /** The mean of the distribution, and of the samples in the window. */
  readonly truth: { readonly expected: number; readonly ofWindow: number }
}

/** Sends legacy load-report bodies, `{timestamp, cpu, rps}`, and reads each verdict. */
export async function runStream(url: string, seed: number): Promise<StreamResult> {
  const client = new Client({ url })
  const random = new Random(seed)
  const between = ({ low, high }: { low: number; high: number }): number => low + random.uniform() * (high - low)
  const points: StreamPoint[] = []
  const begin = Math.floor(Date.now() / 1000) - (STABLE.samples + BURST.samples + AFTER.samples)
  const send = async (phase: StreamPoint['phase'], part: { samples: number; low: number; high: number }) => {
    for (let i = 0; i < part.samples; i++) {
      const report = { timestamp: begin + points.length, cpu: between(CPU), rps: between(part) }
      const { receipts } = await client.ingest(report)
      points.push({ phase, analysis: await verdict(client, receipts) })
    }
  }
  await send('stable', STABLE)
  const { analysis: legacy } = await client.analyses()
  if (legacy === null) throw new Error(`GET /analyze has no analysis of ${KEY}`)
  const before = points.slice(-1 - legacy.window, -1).map(({ analysis }) => analysis.value)
  await send('burst', BURST)
  await send('after', AFTER)
  const ofWindow = before.reduce((sum, value) => sum + value, 0) / before.length
  return { points, legacy, truth: { expected: (STABLE.low + STABLE.high) / 2, ofWindow } }
}

/** Returns the verdict on the sample of KEY. A report of two metrics has one or two receipts. */
async function verdict(client: Client, receipts: readonly string[]): Promise<Analysis> {
  for (const receipt of receipts) {
    const analyses = await client.verdicts(receipt)
    const found = analyses.find(({ key }) => key === KEY)
    if (found !== undefined) return found
  }
  throw new Error(`no verdict on ${KEY} for the receipts ${receipts.join(', ')}`)
}

/** Counts the verdicts of each phase, with |z| of its first sample and the maximum. */
export function countPhases({ points }: StreamResult) {
  return (['stable', 'burst', 'after'] as const).map(phase => {
    const judged = points.filter(one => one.phase === phase && one.analysis.state !== 'warming')
    const sizes = judged.map(({ analysis }) => Math.abs(analysis.z ?? 0))
    const flagged = judged.filter(({ analysis }) => analysis.anomaly).length
    return { phase, judged: judged.length, flagged, firstZ: sizes[0] ?? 0, maxZ: Math.max(...sizes) }
  })
}

export function streamPanels({ points, truth }: StreamResult): Panel[] {
  const size = { width: 1000, height: 170, isFromZero: false }
  const line = (of: (analysis: Analysis) => number | null) => points.map(({ analysis }, i) => [i, of(analysis)])
  const range = points.map(({ analysis: { low, high } }, i) => [i, low, high])
  const flagged = points.flatMap(({ analysis }, i) => (analysis.anomaly ? [[i, analysis.value]] : []))
  const threshold = points[0]?.analysis.threshold ?? 2
  return [
    {
      ...size,
      title: `${KEY}: a stream of ${STABLE.low} to ${STABLE.high}, a burst to 900, the stream again`,
      unit: 'requests per second',
      series: [
        { name: 'normal range', style: 'band', points: range },
        { name: 'value', points: line(({ value }) => value) },
        { name: 'mean', points: line(({ mean }) => mean) },
        { name: 'flagged', style: 'dots', points: flagged },
      ],
      rules: [{ name: 'true mean', y: truth.expected }],
    },
    {
      ...size,
      title: 'z',
      unit: 'deviations',
      series: [{ name: 'z', points: line(({ z }) => z) }],
      rules: [
        { name: 'threshold', y: threshold },
        { name: '', y: -threshold },
      ],
    },
  ]
}
