import { readFileSync } from 'node:fs'
import { formatCount, paragraph } from '../lib/format.ts'
import { formatMarkdownTable } from '../lib/table.ts'

/** The last run of `npm run cluster`. */
const RESULT = new URL('../cluster/result.json', import.meta.url)

/** What a load on a cluster showed. Latencies in milliseconds. */
export interface LoadRow {
  readonly shape: string
  readonly seconds: number
  readonly targetRps: number
  readonly requests: number
  readonly failures: number
  readonly samples: number
  readonly averageMs: number | null
  readonly p95Ms: number | null
  readonly lateP95Ms: number | null
  readonly recall: number | null
  readonly unjudged: number
  readonly replicasMost: Readonly<Record<string, number>>
  /** In seconds of the autoscalers' recording. */
  readonly from: number
  readonly to: number
  /** Requests per second: seconds of the recording, target and completed. */
  readonly timeline: readonly (readonly [at: number, target: number, requests: number])[]
}

/** What the load report quotes of a run on a cluster. */
export interface ClusterFigures {
  readonly date: string
  readonly kubernetes: string
  readonly cores: number
  readonly loads: readonly LoadRow[]
}

export function readClusterFigures(): ClusterFigures {
  return JSON.parse(readFileSync(RESULT, 'utf8')) as ClusterFigures
}

/** Returns the section of docs/report.md about the loads on a cluster. */
export function clusterSection({ date, kubernetes, cores, loads }: ClusterFigures): string {
  return [
    '## On a cluster',
    paragraph(
      `The same loads from a pod of Kubernetes ${kubernetes} (${date}), whose autoscalers set the number of gateways and`,
      `analyzers. The control plane, the load generator and other work shared the ${cores} cores: "late" is how much later than`,
      'planned requests were sent, and shows how far the machine was overloaded. [On a real cluster](cluster.md) describes',
      'the run.',
    ),
    loadsTable(loads),
  ].join('\n\n')
}

export function loadsTable(loads: readonly LoadRow[]): string {
  const head = [
    'load',
    'target RPS',
    'RPS',
    'requests',
    'failed',
    'average',
    'p95',
    'late (p95)',
    'recall',
    'replicas, most',
  ]
  return formatMarkdownTable(
    head,
    loads.map(load => [
      `${load.shape}, ${load.seconds} s`,
      Math.round(load.targetRps),
      (load.requests / load.seconds).toFixed(1),
      load.requests,
      load.failures,
      ms(load.averageMs),
      ms(load.p95Ms),
      ms(load.lateP95Ms),
      load.recall === null ? '-' : `${(load.recall * 100).toFixed(1)} %`,
      replicasText(load),
    ]),
  )
}

export function replicasText({ replicasMost }: Pick<LoadRow, 'replicasMost'>): string {
  return Object.entries(replicasMost)
    .sort(([a], [b]) => b.localeCompare(a))
    .map(([name, count]) => `${formatCount(count)} ${name}s`)
    .join(', ')
}

function ms(value: number | null): string {
  return value === null ? '-' : `${value.toFixed(1)} ms`
}
