import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import { serviceMetrics } from '../monitoring/known-metrics.ts'
import { selectorsOf } from '../monitoring/promql.ts'
import { nameOf, ofKind, selects, workloads } from './manifest.ts'
import type { Policy } from './policy.ts'

/** An autoscaler, by HPA or KEDA. */
interface Autoscaler {
  readonly title: string
  readonly target: string
  readonly min: number
  readonly max: number
  readonly usesCpu: boolean
  readonly calm: number
}

/** Policies about the number of pods. */
export const scalingPolicies: readonly Policy[] = [
  {
    title: 'each service has one autoscaler, and nothing else sets its size',
    faults: manifests => {
      const all = autoscalers(manifests)
      const services = workloads(manifests).filter(({ name }) => name === 'gateway' || name === 'analyzer')
      return [
        ...services.flatMap(({ title, replicas }) => {
          const count = all.filter(({ target }) => target === title).length
          return [
            ...(count === 1 ? [] : [`${title}: it has ${count} autoscalers`]),
            ...(replicas === undefined ? [] : [`${title}: it sets replicas, which applying it would reset`]),
          ]
        }),
      ]
    },
  },
  {
    title: 'autoscalers have an existing target with CPU requests',
    faults: manifests =>
      autoscalers(manifests).flatMap(({ title, target, usesCpu }) => {
        const workload = workloads(manifests).find(it => it.title === target)
        if (workload === undefined) return [`${title}: ${target} does not exist`]
        const lacks = workload.containers.some(({ resources }) => resources?.requests?.cpu === undefined)
        return usesCpu && lacks ? [`${title}: ${target} requests no CPU`] : []
      }),
  },
  {
    title: 'no service grows beyond its useful size, and scaling down is delayed',
    faults: manifests => {
      const partitions = partitionsOf(manifests)
      return autoscalers(manifests).flatMap(({ title, target, min, max, calm }) => [
        ...(min >= 1 && min <= max ? [] : [`${title}: its range is ${min} to ${max}`]),
        ...(target === 'Deployment analyzer' && max > partitions
          ? [`${title}: ${max} for ${partitions} partitions`]
          : []),
        ...(calm >= 60 ? [] : [`${title}: it scales down after ${calm} s`]),
      ])
    },
  },
  {
    title: 'autoscalers query Prometheus for existing metrics',
    faults: manifests =>
      ofKind(manifests, 'ScaledObject').flatMap(it =>
        it.spec.triggers
          .flatMap(({ metadata }) => (metadata.query === undefined ? [] : selectorsOf(metadata.query)))
          .filter(({ metric }) => !serviceMetrics().has(metric))
          .map(({ metric }) => `${nameOf(it)}: no service has ${metric}`),
      ),
  },
  {
    title: 'disruption budgets allow disruptions, and each service has one',
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
        return Number.parseInt(String(room), 10) >= 1 ? [] : [`${nameOf(budget)}: no pod can ever be evicted`]
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
