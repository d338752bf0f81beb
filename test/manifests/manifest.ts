import type { IGateway, IHTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1'
import type { IScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1'
import type {
  IPodMonitor,
  IProbe,
  IPrometheusRule,
} from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'
import type {
  IAlertmanagerConfig,
  IScrapeConfig,
} from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1alpha1'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import type { IDeployment, IStatefulSet } from 'kubernetes-models/apps/v1'
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2'
import type { IJob } from 'kubernetes-models/batch/v1'
import type { IIngress, INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1'
import type { IPriorityClass } from 'kubernetes-models/scheduling.k8s.io/v1'
import type {
  IConfigMap,
  IContainer,
  INamespace,
  IPodTemplateSpec,
  ISecret,
  IService,
  IServiceAccount,
} from 'kubernetes-models/v1'

/** Every kind of object in use. */
export interface Kinds {
  AlertmanagerConfig: IAlertmanagerConfig
  ConfigMap: IConfigMap
  Deployment: IDeployment
  Gateway: IGateway
  HorizontalPodAutoscaler: IHorizontalPodAutoscaler
  HTTPRoute: IHTTPRoute
  Ingress: IIngress
  Job: IJob
  Namespace: INamespace
  NetworkPolicy: INetworkPolicy
  PodDisruptionBudget: IPodDisruptionBudget
  PodMonitor: IPodMonitor
  PriorityClass: IPriorityClass
  Probe: IProbe
  PrometheusRule: IPrometheusRule
  ScaledObject: IScaledObject
  ScrapeConfig: IScrapeConfig
  Secret: ISecret
  Service: IService
  ServiceAccount: IServiceAccount
  StatefulSet: IStatefulSet
}

export function ofKind<K extends keyof Kinds>(manifests: readonly Manifest[], kind: K): Kinds[K][] {
  return manifests.filter(manifest => manifest.kind === kind) as unknown as Kinds[K][]
}

/** Returns a name for messages: `Deployment gateway`. */
export function nameOf({ kind, metadata }: { readonly kind: string; readonly metadata?: { name?: string } }): string {
  return `${kind} ${metadata?.name}`
}

/** An object that creates pods. */
export interface Workload {
  readonly title: string
  readonly kind: 'Deployment' | 'StatefulSet' | 'Job'
  readonly name: string
  readonly template: IPodTemplateSpec
  /** Undefined if an autoscaler sets it. */
  readonly replicas: number | undefined
  readonly containers: readonly IContainer[]
  readonly labels: Labels
}

export type Labels = Readonly<Record<string, string>>

export function workloads(manifests: readonly Manifest[]): Workload[] {
  const makers = [
    ...ofKind(manifests, 'Deployment'),
    ...ofKind(manifests, 'StatefulSet'),
    ...ofKind(manifests, 'Job').map(job => ({ ...job, spec: { ...job.spec, replicas: 1 } })),
  ]
  return makers.map(({ kind, metadata, spec }) => {
    const template = spec?.template ?? {}
    return {
      title: `${kind} ${metadata?.name}`,
      kind,
      name: metadata?.name ?? '',
      template,
      replicas: spec?.replicas,
      containers: [...(template.spec?.initContainers ?? []), ...(template.spec?.containers ?? [])],
      labels: template.metadata?.labels ?? {},
    }
  })
}

interface Selector {
  readonly matchLabels?: Labels
  readonly matchExpressions?: readonly { key: string; operator: string; values?: readonly string[] }[]
}

/** Whether a label selector selects these labels. An empty one selects everything. */
export function selects(selector: Selector | undefined, labels: Labels): boolean {
  const isEqual = Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => labels[key] === value)
  return isEqual && (selector?.matchExpressions ?? []).every(expression => holds(expression, labels))
}

function holds(
  { key, operator, values = [] }: { key: string; operator: string; values?: readonly string[] },
  labels: Labels,
) {
  const value = labels[key]
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    default:
      throw new Error(`unknown operator in a label selector: ${operator}`)
  }
}

/** Returns the number of a container port by name or number; undefined if none has it. */
export function portOf({ containers }: Workload, port: string | number | undefined): number | undefined {
  const ports = containers.flatMap(({ ports = [] }) => ports)
  return ports.find(({ name, containerPort }) => name === port || containerPort === port)?.containerPort
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
}

/** Converts a quantity, such as 500m or 768Mi, to a number. */
export function quantity(text: string | number): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(String(text)) ?? []
  const factor = UNITS[unit]
  if (number === '' || factor === undefined) throw new Error(`not a quantity: ${text}`)
  return Number(number) * factor
}
