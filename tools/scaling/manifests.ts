import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import type { AutoscalerSpec, Metric } from './autoscaler.ts'

const K8S = new URL('../../k8s/', import.meta.url)

const rules = z.object({
  stabilizationWindowSeconds: z.number(),
  // The only policy that the model implements, and Kubernetes' default.
  selectPolicy: z.literal('Max'),
  policies: z.array(z.object({ type: z.enum(['Percent', 'Pods']), value: z.number(), periodSeconds: z.number() })),
})
const behavior = z.object({ scaleUp: rules, scaleDown: rules })

const autoscalerSchema = z.object({
  spec: z.object({
    minReplicas: z.number(),
    maxReplicas: z.number(),
    metrics: z.array(
      z.object({
        resource: z.object({ name: z.literal('cpu'), target: z.object({ averageUtilization: z.number() }) }),
      }),
    ),
    behavior,
  }),
})

const scaledObjectSchema = z.object({
  spec: z.object({
    minReplicaCount: z.number(),
    maxReplicaCount: z.number(),
    advanced: z.object({ horizontalPodAutoscalerConfig: z.object({ behavior }) }),
    triggers: z.array(
      z.discriminatedUnion('type', [
        z.object({ type: z.literal('cpu'), metadata: z.object({ value: z.coerce.number() }) }),
        z.object({
          type: z.literal('prometheus'),
          name: z.enum(['age', 'size']),
          metricType: z.literal('AverageValue'),
          metadata: z.object({ threshold: z.coerce.number() }),
        }),
      ]),
    ),
  }),
})

const deploymentSchema = z.object({
  spec: z.object({
    template: z.object({
      spec: z.object({
        containers: z.tuple([
          z.object({
            resources: z.object({ requests: z.object({ cpu: z.string() }), limits: z.object({ cpu: z.string() }) }),
          }),
        ]),
      }),
    }),
  }),
})

const settingsSchema = z.object({
  configMapGenerator: z.array(z.object({ name: z.string(), literals: z.array(z.string()) })),
})

/** The settings of k8s/ that the model needs. */
export interface Deployed {
  readonly gateway: TierSpec
  /** Scaled by CPU only, as in the base. */
  readonly analyzer: TierSpec
  /** Scaled by CPU and backlog, as in the KEDA component. */
  readonly analyzerByBacklog: TierSpec
  readonly partitions: number
}

export interface TierSpec {
  readonly autoscaler: AutoscalerSpec
  /** The pod's CPU request. Its usage is a share of it. */
  readonly requestCores: number
  /** Cores that a pod can use: at most one, since it works on one thread. */
  readonly usableCores: number
}

export function readDeployed(): Deployed {
  const analyzerCpu = readCpu('base/analyzer.yaml')
  return {
    gateway: { autoscaler: readAutoscaler('base/gateway.yaml'), ...readCpu('base/gateway.yaml') },
    analyzer: { autoscaler: readAutoscaler('base/analyzer.yaml'), ...analyzerCpu },
    analyzerByBacklog: { autoscaler: readScaledObject('components/keda/analyzer.yaml'), ...analyzerCpu },
    partitions: readPartitions(),
  }
}

function readAutoscaler(file: string): AutoscalerSpec {
  const { spec } = autoscalerSchema.parse(objectOf(file, 'HorizontalPodAutoscaler'))
  return {
    min: spec.minReplicas,
    max: spec.maxReplicas,
    metrics: spec.metrics.map(({ resource }) => ({ kind: 'cpu', target: resource.target.averageUtilization / 100 })),
    ...rulesOf(spec.behavior),
  }
}

function readScaledObject(file: string): AutoscalerSpec {
  const { spec } = scaledObjectSchema.parse(objectOf(file, 'ScaledObject'))
  return {
    min: spec.minReplicaCount,
    max: spec.maxReplicaCount,
    metrics: spec.triggers.map(
      (trigger): Metric =>
        trigger.type === 'cpu'
          ? { kind: 'cpu', target: trigger.metadata.value / 100 }
          : { kind: 'average', series: trigger.name, target: trigger.metadata.threshold },
    ),
    ...rulesOf(spec.advanced.horizontalPodAutoscalerConfig.behavior),
  }
}

function rulesOf({ scaleUp, scaleDown }: z.output<typeof behavior>): Pick<AutoscalerSpec, 'up' | 'down'> {
  const convert = ({ stabilizationWindowSeconds, policies }: z.output<typeof rules>) => ({
    stabilizationS: stabilizationWindowSeconds,
    policies: policies.map(({ type, value, periodSeconds }) => ({ type, value, periodS: periodSeconds })),
  })
  return { up: convert(scaleUp), down: convert(scaleDown) }
}

function readCpu(file: string): Pick<TierSpec, 'requestCores' | 'usableCores'> {
  const { requests, limits } = deploymentSchema.parse(objectOf(file, 'Deployment')).spec.template.spec.containers[0]
    .resources
  return { requestCores: cores(requests.cpu), usableCores: Math.min(1, cores(limits.cpu)) }
}

function cores(quantity: string): number {
  return quantity.endsWith('m') ? Number(quantity.slice(0, -1)) / 1000 : Number(quantity)
}

function readPartitions(): number {
  const { configMapGenerator } = settingsSchema.parse(documents('base/kustomization.yaml')[0])
  const literals = configMapGenerator.flatMap(({ literals }) => literals)
  const partitions = literals.find(literal => literal.startsWith('PARTITIONS='))?.split('=')[1]
  return z.coerce.number().int().positive().parse(partitions)
}

function objectOf(file: string, kind: string): unknown {
  return documents(file).find(document => (document as { kind?: string }).kind === kind)
}

function documents(file: string): unknown[] {
  const text = readFileSync(fileURLToPath(new URL(file, K8S)), 'utf8')
  return parseAllDocuments(text).map(document => document.toJS())
}
