import { serviceMetrics } from '../monitoring/known-metrics.ts'
import { selectorsOf } from '../monitoring/promql.ts'
import { type Manifest, nameOf, ofKind, selects, workloads } from './manifest.ts'
import type { Policy } from './policy.ts'

/** An autoscaler, whoever runs it. */
interface Autoscaler {
  readonly title: string
  readonly target: string
  readonly min: number
  readonly max: number
  readonly usesCpu: boolean
  readonly calm: number
}

/** Rules about how many pods there are. */
export const scalingPolicies: readonly Policy[] = [
  {
    title: 'each tier has one autoscaler, and nobody else sets its size',
    faults: manifests => {
      const all = autoscalers(manifests)
      const tiers = workloads(manifests).filter(({ name }) => name === 'gateway' || name === 'analyzer')
      return [
        ...tiers.flatMap(({ title, replicas }) => {
          const count = all.filter(({ target }) => target === title).length
          return [
            ...(count === 1 ? [] : [`${title}: it has ${count} autoscalers`]),
            ...(replicas === undefined ? [] : [`${title}: it has replicas, and to apply it sets them back`]),
          ]
        }),
      ]
    },
  },
  {
    title: 'autoscalers have a target that is there and CPU requests to measure by',
    faults: manifests =>
      autoscalers(manifests).flatMap(({ title, target, usesCpu }) => {
        const workload = workloads(manifests).find(it => it.title === target)
        if (workload === undefined) return [`${title}: there is no ${target}`]
        const lacks = workload.containers.some(({ resources }) => resources?.requests?.cpu === undefined)
        return usesCpu && lacks ? [`${title}: ${target} asks for no CPU`] : []
      }),
  },
  {
    title: 'no tier is larger than it can be of use, and shrinking takes its time',
    faults: manifests => {
      const partitions = partitionsOf(manifests)
      return autoscalers(manifests).flatMap(({ title, target, min, max, calm }) => [
        ...(min >= 1 && min <= max ? [] : [`${title}: from ${min} to ${max}`]),
        ...(target === 'Deployment analyzer' && max > partitions
          ? [`${title}: ${max} for ${partitions} partitions`]
          : []),
        ...(calm >= 60 ? [] : [`${title}: it shrinks after ${calm} s`]),
      ])
    },
  },
  {
    title: 'autoscalers ask Prometheus for metrics that the services have',
    faults: manifests =>
      ofKind(manifests, 'ScaledObject').flatMap(it =>
        it.spec.triggers
          .flatMap(({ metadata }) => (metadata.query === undefined ? [] : selectorsOf(metadata.query)))
          .filter(({ metric }) => !serviceMetrics().has(metric))
          .map(({ metric }) => `${nameOf(it)}: no service has ${metric}`),
      ),
  },
  {
    title: 'disruption budgets leave room, and each tier has one',
    faults: manifests => {
      const budgets = ofKind(manifests, 'PodDisruptionBudget')
      const faults = budgets.flatMap(budget => {
        const { selector, maxUnavailable, minAvailable } = budget.spec ?? {}
        const pods = workloads(manifests)
          .filter(({ labels }) => selects(selector, labels))
          .map(
            ({ title, replicas }) =>
              replicas ?? autoscalers(manifests).find(({ target }) => target === title)?.min ?? 1,
          )
        const room = maxUnavailable ?? Math.min(...pods) - Number(minAvailable ?? 0)
        return Number.parseInt(String(room), 10) >= 1 ? [] : [`${nameOf(budget)}: no pod may ever leave its node`]
      })
      const lacking = workloads(manifests)
        .filter(({ name }) => name === 'gateway' || name === 'analyzer')
        .filter(({ labels }) => !budgets.some(({ spec }) => selects(spec?.selector, labels)))
      return [...faults, ...lacking.map(({ title }) => `${title}: it has no budget`)]
    },
  },
]

function autoscalers(manifests: readonly Manifest[]): Autoscaler[] {
  return [
    ...ofKind(manifests, 'HorizontalPodAutoscaler').map(it => ({
      title: nameOf(it),
      target: `${it.spec.scaleTargetRef.kind} ${it.spec.scaleTargetRef.name}`,
      min: it.spec.minReplicas ?? 1,
      max: it.spec.maxReplicas,
      usesCpu: (it.spec.metrics ?? []).some(({ resource }) => resource?.name === 'cpu'),
      calm: it.spec.behavior?.scaleDown?.stabilizationWindowSeconds ?? 300,
    })),
    ...ofKind(manifests, 'ScaledObject').map(it => ({
      title: nameOf(it),
      target: `${it.spec.scaleTargetRef.kind ?? 'Deployment'} ${it.spec.scaleTargetRef.name}`,
      min: it.spec.minReplicaCount ?? 0,
      max: it.spec.maxReplicaCount ?? 100,
      usesCpu: it.spec.triggers.some(({ type }) => type === 'cpu'),
      calm: it.spec.advanced?.horizontalPodAutoscalerConfig?.behavior?.scaleDown?.stabilizationWindowSeconds ?? 300,
    })),
  ]
}

function partitionsOf(manifests: readonly Manifest[]): number {
  const settings = ofKind(manifests, 'ConfigMap').find(({ metadata }) => metadata?.name?.startsWith('settings-'))
  return Number(settings?.data?.PARTITIONS)
}
