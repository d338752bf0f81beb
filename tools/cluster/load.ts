import { Failure } from '../lib/options.ts'
import type { Summary } from '../load/summary.ts'
import type { AutoscalingRecorder } from './autoscaling.ts'
import type { Deployment } from './deployment.ts'
import type { Cluster, KubeObject } from './kube.ts'
import { applyManifests, buildComponent, type Manifest } from './manifests.ts'
import { until } from './wait.ts'

/** The first character of each line of JSON that the locustfile writes. */
const MARK = '\u001e'

/** Pods start, and verdicts are read at the end. */
const EXTRA_S = 180
const LOG_LIMIT_LINES = 15

/** The load generator's own requests; it takes what it needs. */
const RESOURCES = { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '2', memory: '512Mi' } }

interface Job extends KubeObject {
  readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
}

export interface LoadSettings {
  readonly shape: string
  readonly rps: number
  readonly seconds: number
}

/** A load, and when it ran, in seconds of the autoscalers' recording. */
export interface ClusterLoad {
  readonly from: number
  readonly to: number
  readonly summary: Summary
}

/** Runs Locust in a pod of the cluster, and returns its summary. */
export async function runLoadJob(
  cluster: Cluster,
  deployment: Deployment,
  settings: LoadSettings,
  recorder: AutoscalingRecorder,
  stop: AbortSignal,
): Promise<ClusterLoad> {
  const name = `load-test-${settings.shape}`
  const component = await buildComponent(cluster, 'load-test')
  // A Job cannot be changed, only replaced.
  await deployment.kubectl('delete', 'job', name, '--ignore-not-found')
  await applyManifests(
    cluster,
    component.map(one => (one.kind === 'Job' ? jobOf(one, name, settings) : one)),
  )
  const from = recorder.now()
  const path = deployment.path('jobs', name)
  await until(`${name} has ended`, settings.seconds + EXTRA_S, stop, async () => {
    const { status } = await cluster.get<Job>(path)
    const isOver = ['Complete', 'Failed'].some(type =>
      status.conditions?.some(one => one.type === type && one.status === 'True'),
    )
    return isOver ? true : undefined
  })
  const log = await deployment.kubectl('logs', `job/${name}`, '--tail=-1')
  return { from, to: recorder.now(), summary: summaryIn(log, name) }
}

/** Returns the summary in the output of a load. */
export function summaryIn(log: string, name: string): Summary {
  for (const line of log.split('\n')) {
    if (!line.startsWith(MARK)) continue
    const { kind, ...message } = JSON.parse(line.slice(MARK.length)) as { kind: string }
    if (kind === 'summary') return message as unknown as Summary
  }
  const lines = log
    .split('\n')
    .filter(line => !line.startsWith(MARK))
    .slice(-LOG_LIMIT_LINES)
  throw new Failure(`${name} wrote no summary:\n${lines.join('\n')}`)
}

/** Returns the component's Job for this load. */
export function jobOf(job: Manifest, name: string, { shape, rps, seconds }: LoadSettings): object {
  const copy = structuredClone(job) as unknown as {
    metadata: { name: string }
    spec: { template: { spec: { containers: [{ env: { name: string; value?: string }[]; resources: object }] } } }
  }
  const [container] = copy.spec.template.spec.containers
  const env = { LOAD_SHAPE: shape, LOAD_RPS: String(rps), LOAD_SECONDS: String(seconds), LOAD_REPORT_JSON: 'true' }
  copy.metadata.name = name
  container.env = [
    ...container.env.filter(one => !(one.name in env)),
    ...Object.entries(env).map(([key, value]) => ({ name: key, value })),
  ]
  container.resources = RESOURCES
  return copy
}
