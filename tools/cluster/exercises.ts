import type { Client } from '@tidemark/client/client'
import { formatCount, formatDuration } from '../lib/format.ts'
import { Failure } from '../lib/options.ts'
import type { Deployment, WorkloadName } from './deployment.ts'
import { withTag } from './images.ts'
import type { Row } from './result.ts'
import { type TrafficResult, withTraffic } from './traffic.ts'

const KEYS = 50
const SAMPLES = 60
/** Far outside of what the keys have sent before. */
const ANOMALY = 1000

/** Sends samples through the way in, and checks the verdict on each key's last one. */
export async function checkVerdicts(client: Client): Promise<Row> {
  const run = Date.now().toString(36)
  const key = (i: number): string => `cluster/${run}-${i}`
  let accepted = 0
  for (let sample = 0; sample < SAMPLES; sample++) {
    const value = (i: number): number => 50 + 5 * Math.sin(sample + i)
    const batch = Array.from({ length: KEYS }, (_, i) => ({ key: key(i), value: value(i), timestamp: Date.now() }))
    accepted += (await client.ingest(batch)).accepted
  }
  const wrong: string[] = []
  const times: number[] = []
  for (let i = 0; i < KEYS; i++) {
    // Half of the keys end with an anomaly, the others with a usual value.
    const isAnomaly = i % 2 === 0
    const begin = performance.now()
    const { receipts } = await client.ingest({ key: key(i), value: isAnomaly ? ANOMALY : 50, timestamp: Date.now() })
    const analysis = await client.analyze(key(i), { after: receipts[0] ?? '' })
    times.push(performance.now() - begin)
    accepted += 1
    if (analysis.anomaly !== isAnomaly) wrong.push(key(i))
  }
  const median = times.sort((a, b) => a - b)[times.length >> 1] ?? 0
  const verdicts = `${KEYS - wrong.length} of ${KEYS} verdicts right`
  return {
    what: 'samples through the way in',
    result: `${formatCount(accepted)} accepted, ${verdicts}, ${median.toFixed(0)} ms from a sample to its verdict (p50)`,
    isGood: wrong.length === 0 && accepted === KEYS * (SAMPLES + 1),
  }
}

interface Context {
  readonly client: Client
  readonly deployment: Deployment
  readonly stop: AbortSignal
}

/** Kills a pod of each workload, one after the other, while samples are sent. */
export async function killPods({ client, deployment, stop }: Context): Promise<Row[]> {
  const rows: Row[] = []
  for (const name of ['gateway', 'analyzer', 'redis'] as const satisfies WorkloadName[]) {
    const { durationMs, traffic } = await timed(client, stop, () => deployment.kill(name))
    rows.push(trafficRow(`a pod of ${name} killed`, `ready again after ${formatDuration(durationMs)}`, traffic))
  }
  return rows
}

/** Drains the node with most of the pods while samples are sent, and uncordons it. */
export async function drainNode({ client, deployment, stop }: Context): Promise<Row> {
  const what = 'a node drained'
  const pods = (
    await Promise.all((['gateway', 'analyzer', 'redis'] as const).map(name => deployment.pods(name)))
  ).flat()
  const counts = Map.groupBy(pods, ({ spec }) => spec.nodeName ?? '')
  const [[node, own] = ['', []]] = [...counts].sort(([, a], [, b]) => b.length - a.length)
  const all = await deployment.kubectl('get', 'nodes', '--no-headers', '--output=name')
  if (all.trim().split('\n').length < 2) return { what, result: 'skipped: the cluster has one node', isGood: true }
  // Only pods of this deployment leave; the cluster may have others.
  const flags = ['--ignore-daemonsets', '--delete-emptydir-data', '--pod-selector=app.kubernetes.io/part-of=tidemark']
  try {
    const { durationMs, traffic } = await timed(client, stop, async () => {
      await deployment.kubectl('drain', node, ...flags, '--timeout=240s')
      await deployment.ready()
    })
    return trafficRow(what, `${own.length} pods moved in ${formatDuration(durationMs)}`, traffic)
  } finally {
    await deployment.kubectl('uncordon', node)
  }
}

/** Rolls both services to another version and back, or restarts them, while samples are sent. */
export async function rollOut({ client, deployment, stop }: Context, next: string | undefined): Promise<Row[]> {
  if (next === undefined) {
    const { durationMs, traffic } = await timed(client, stop, async () => {
      await deployment.kubectl('rollout', 'restart', 'deployment/gateway', 'deployment/analyzer')
      await deployment.ready()
    })
    return [trafficRow('both services restarted (rollout)', formatDuration(durationMs), traffic)]
  }
  const rows: Row[] = []
  const images = await Promise.all((['gateway', 'analyzer'] as const).map(name => imageOf(deployment, name)))
  const there = images.map(image => withTag(image, next))
  for (const [title, [gateway = '', analyzer = '']] of [
    [`both services rolled to ${next}`, there],
    ['and back', images],
  ] as const) {
    const { durationMs, traffic } = await timed(client, stop, async () => {
      await deployment.kubectl('set', 'image', 'deployment/gateway', `gateway=${gateway}`)
      await deployment.kubectl('set', 'image', 'deployment/analyzer', `analyzer=${analyzer}`)
      await deployment.ready()
    })
    rows.push(trafficRow(title, formatDuration(durationMs), traffic))
  }
  return rows
}

async function imageOf(deployment: Deployment, name: WorkloadName): Promise<string> {
  const path = '{.spec.template.spec.containers[0].image}'
  const image = await deployment.kubectl('get', `deployment/${name}`, `--output=jsonpath=${path}`)
  if (image === '') throw new Failure(`the Deployment ${name} has no image`)
  return image
}

async function timed(client: Client, stop: AbortSignal, work: () => Promise<void>) {
  let durationMs = 0
  const traffic = await withTraffic(client, stop, async () => {
    const begin = performance.now()
    await work()
    durationMs = performance.now() - begin
  })
  return { durationMs, traffic }
}

/** Returns the row of an exercise. Losing or doubling a sample is what must not happen. */
export function trafficRow(what: string, happened: string, traffic: TrafficResult): Row {
  const { sent, lost, doubled, dead, longestMs } = traffic
  const samples = `${formatCount(sent)} samples sent, ${lost} lost, ${doubled} doubled`
  const others = dead === 0 ? '' : `, ${dead} dead letters`
  return {
    what,
    result: `${happened}; ${samples}${others}; longest time to a 202: ${formatDuration(longestMs)}`,
    isGood: lost === 0 && doubled === 0 && dead === 0,
  }
}
