import { formatCount, paragraph } from '../lib/format.ts'
import { drawSvg, type Panel, type Series } from '../lib/plot.ts'
import { formatMarkdownTable } from '../lib/table.ts'
import { type LoadRow, loadsTable } from '../load/cluster-section.ts'
import { type AutoscalerRecord, mostReplicas } from './autoscaling.ts'
import type { ClusterResult } from './result.ts'

const SIZE = { width: 760, height: 120 }
const MINUTE_S = 60

export const PICTURE = 'cluster-autoscaling.svg'

/** Returns the sections of docs/cluster.md that a run replaces, by their names. */
export function pageSections(result: ClusterResult): Readonly<Record<'run' | 'exercises' | 'loads', string>> {
  return { run: describeRun(result), exercises: exercisesTable(result), loads: loadsSection(result) }
}

function describeRun(result: ClusterResult): string {
  const { date, command, kubernetes, nodes, runtimes, wayIn, overlay, cores, loadBefore } = result
  const requests = Object.entries(result.cpuRequests).map(([name, cpu]) => `${cpu} for ${name}`)
  return [
    paragraph(
      `Run of ${date} on Kubernetes ${kubernetes} with ${nodes} nodes (${runtimes.join(', ')}), overlay \`${overlay}\`, through`,
      `${wayIn}. CPU requests: ${requests.join(', ')}. Everything shared ${cores} cores; their load average was`,
      `${loadBefore.toFixed(1)} before the run.`,
    ),
    `    ${command}`,
  ].join('\n\n')
}

export function exercisesTable({ rows }: Pick<ClusterResult, 'rows'>): string {
  const head = ['exercise', 'result', '']
  return formatMarkdownTable(
    head,
    rows.map(({ what, result, isGood }) => [what, result, isGood ? 'good' : '**failed**']),
  )
}

function loadsSection({ loads, autoscalers }: ClusterResult): string {
  if (loads.length === 0) return 'No load was run.'
  const limits = autoscalers.map(({ name, min, max }) => `${name} ${min} to ${max}`).join(', ')
  return [
    loadsTable(loads),
    paragraph(
      `The limits of the autoscalers were: ${limits}. "Late" is how much later than planned requests were sent: if that is`,
      'much, the load generator lacked CPU, and the latencies include the wait.',
    ),
    paragraph(...autoscalers.map(one => describeScaling(one, loads))),
    `![replicas of both services, and their CPU](images/${PICTURE})`,
  ].join('\n\n')
}

/** Says when an autoscaler had reached its most replicas, and when its minimum again. */
export function describeScaling(
  { name, min, points }: AutoscalerRecord,
  loads: readonly Pick<LoadRow, 'to'>[],
): string {
  const most = mostReplicas({ points })
  const reachedS = points.find(({ replicas }) => replicas === most)?.at ?? 0
  const loadEndS = Math.max(0, ...loads.map(({ to }) => to))
  const last = points.findLast(({ replicas }) => replicas > min)?.at ?? 0
  if (most <= min) return `The ${name} stayed at ${min}.`
  const up = `The ${name} had its most replicas, ${most}, ${formatCount(reachedS)} s after the load began`
  if (last === points.at(-1)?.at) return `${up}, and still more than its minimum at the end.`
  return `${up}, and its minimum again ${formatCount(Math.max(0, Math.round(last - loadEndS)))} s after the load ended.`
}

/** Draws the load, the replicas of each autoscaler, and the CPU they measured. */
export function drawAutoscaling({ loads, autoscalers, kubernetes }: ClusterResult): Promise<string> {
  const minutes = (seconds: number): number => Math.round((seconds / MINUTE_S) * 100) / 100
  const end = Math.max(0, ...autoscalers.flatMap(({ points }) => points.map(({ at }) => at)))
  const requests = (column: 1 | 2): Series['points'] =>
    loads.flatMap(({ timeline, to }) => [
      ...timeline.map(point => [minutes(point[0]), point[column]] as const),
      [minutes(to), null] as const,
      // So that all panels show the same time.
      [minutes(end), null] as const,
    ])
  const panels: Panel[] = [
    {
      ...SIZE,
      title: loads.map(({ shape, from }) => `${shape} from minute ${minutes(from).toFixed(0)}`).join(', '),
      unit: 'requests/s',
      series: [
        { name: 'target', points: requests(1) },
        { name: 'completed', points: requests(2) },
      ],
    },
    ...autoscalers.flatMap(({ name, max, points }): Panel[] => [
      {
        ...SIZE,
        title: `${name}: replicas`,
        unit: 'pods',
        format: 'd',
        domain: [0, max + 1],
        series: [
          { name: 'running', style: 'step', points: points.map(({ at, replicas }) => [minutes(at), replicas]) },
          { name: 'desired', style: 'step', points: points.map(({ at, desired }) => [minutes(at), desired]) },
        ],
        rules: [{ name: 'maximum', y: max }],
      },
      {
        ...SIZE,
        title: `${name}: CPU, mean of its pods`,
        unit: '% of request',
        series: [{ name: 'CPU', points: points.map(({ at, percent }) => [minutes(at), percent]) }],
        rules: [{ name: 'target of the autoscaler', y: 70 }],
      },
    ]),
  ]
  return drawSvg({
    title: `Autoscaling by Kubernetes ${kubernetes}`,
    xTitle: 'minutes',
    rows: panels.map(panel => [panel]),
  })
}
