import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import type { AutoscalerSpec, Metric, Rules } from './autoscaler.ts'

const K8S = new URL('../../k8s/', import.meta.url)

const policy = z
  .object({ type: z.enum(['Percent', 'Pods']), value: z.number(), periodSeconds: z.number() })
  .transform(({ type, value, periodSeconds }) => ({ type, value, periodS: periodSeconds }))

/** The model implements only the policy that Kubernetes uses by default. */
const rules = z
  .object({ stabilizationWindowSeconds: z.number(), selectPolicy: z.literal('Max'), policies: z.array(policy) })
  .transform(({ stabilizationWindowSeconds: stabilizationS, policies }): Rules => ({ stabilizationS, policies }))

const behavior = z.object({ scaleUp: rules, scaleDown: rules })

const utilization = z.coerce.number().transform((percent): Metric => ({ kind: 'cpu', target: percent / 100 }))

const cpuMetric = z
  .object({
    resource: z.object({ name: z.literal('cpu'), target: z.object({ averageUtilization: utilization }) }),
  })
  .transform(({ resource }) => resource.target.averageUtilization)

const cpuTrigger = z
  .object({ type: z.literal('cpu'), metadata: z.object({ value: utilization }) })
  .transform(({ metadata }) => metadata.value)

const prometheusTrigger = z
  .object({
    type: z.literal('prometheus'),
    name: z.enum(['age', 'size']),
    metricType: z.literal('AverageValue'),
    metadata: z.object({ threshold: z.coerce.number() }),
  })
  .transform(({ name, metadata }): Metric => ({ kind: 'average', series: name, target: metadata.threshold }))

/** A quantity of CPU, such as 500m. */
const cores = z.string().transform(text => (text.endsWith('m') ? Number(text.slice(0, -1)) / 1000 : Number(text)))

export interface TierSpec {
  readonly autoscaler: AutoscalerSpec
  /** The pod's CPU request. Its usage is a share of it. */
  readonly requestCores: number
  /** Cores that a pod can use: at most one, since it works on one thread. */
  readonly usableCores: number
}

export type Deployed = ReturnType<typeof readDeployed>

/** Returns the settings of k8s/ that the model needs. */
export function readDeployed() {
  const gatewayCpu = readCpu('base/gateway.yaml')
  const analyzerCpu = readCpu('base/analyzer.yaml')
  const literals = reader('base/kustomization.yaml')(z.array(z.string()), 'configMapGenerator', 0, 'literals')
  const partitions = literals.find(literal => literal.startsWith('PARTITIONS='))?.split('=')[1]
  return {
    gateway: { autoscaler: readAutoscaler('base/gateway.yaml'), ...gatewayCpu },
    /** Scaled by CPU only, as in the base. */
    analyzer: { autoscaler: readAutoscaler('base/analyzer.yaml'), ...analyzerCpu },
    /** Scaled by CPU and backlog, as in the KEDA component. */
    analyzerByBacklog: { autoscaler: readScaledObject('components/keda/analyzer.yaml'), ...analyzerCpu },
    partitions: z.coerce.number().int().positive().parse(partitions),
  }
}

function readAutoscaler(file: string): AutoscalerSpec {
  const get = reader(file, 'HorizontalPodAutoscaler')
  const { scaleUp, scaleDown } = get(behavior, 'spec', 'behavior')
  return {
    min: get(z.number(), 'spec', 'minReplicas'),
    max: get(z.number(), 'spec', 'maxReplicas'),
    metrics: get(z.array(cpuMetric), 'spec', 'metrics'),
    up: scaleUp,
    down: scaleDown,
  }
}

function readScaledObject(file: string): AutoscalerSpec {
  const get = reader(file, 'ScaledObject')
  const { scaleUp, scaleDown } = get(behavior, 'spec', 'advanced', 'horizontalPodAutoscalerConfig', 'behavior')
  return {
    min: get(z.number(), 'spec', 'minReplicaCount'),
    max: get(z.number(), 'spec', 'maxReplicaCount'),
    metrics: get(z.array(z.union([cpuTrigger, prometheusTrigger])), 'spec', 'triggers'),
    up: scaleUp,
    down: scaleDown,
  }
}

function readCpu(file: string): Pick<TierSpec, 'requestCores' | 'usableCores'> {
  const cpu = z.object({ cpu: cores })
  const path = ['spec', 'template', 'spec', 'containers', 0, 'resources']
  const { requests, limits } = reader(file, 'Deployment')(z.object({ requests: cpu, limits: cpu }), ...path)
  return { requestCores: requests.cpu, usableCores: Math.min(1, limits.cpu) }
}

/** Returns a reader of values of a manifest's first document of the given kind. */
function reader(file: string, kind?: string) {
  const documents = parseAllDocuments(readFileSync(new URL(file, K8S), 'utf8')).map(document => document.toJS() as Node)
  const found = documents.find(document => kind === undefined || document.kind === kind)
  return <T extends z.ZodType>(schema: T, ...path: (string | number)[]): z.output<T> =>
    schema.parse(path.reduce<unknown>((node, name) => (node as Node | undefined)?.[name], found))
}

type Node = Readonly<Record<string, unknown>>
