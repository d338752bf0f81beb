import assert from 'node:assert/strict'
import type { IContainer } from 'kubernetes-models/v1'
import { type Kinds, type Manifest, ofKind, workloads } from './manifest.ts'

/** Something wrong with the manifests, and what the policies are to say of it. */
export interface Mutation {
  readonly what: string
  readonly change: (manifests: readonly Manifest[]) => void
  readonly says: RegExp
  /** The build that it is done to; the base when absent. */
  readonly from?: string
}

/** The object of this kind, by name where there are several. */
export function one<K extends keyof Kinds>(manifests: readonly Manifest[], kind: K, name?: string): Kinds[K] {
  const found = ofKind(manifests, kind).find(({ metadata }) => name === undefined || metadata?.name === name)
  assert(found !== undefined, `there is no ${kind} ${name ?? ''}`)
  return found
}

/** The first container of the workload of this name. */
export function container(manifests: readonly Manifest[], workload: string): IContainer {
  const found = workloads(manifests).find(({ name }) => name === workload)?.template.spec?.containers[0]
  assert(found !== undefined, `there is no container of ${workload}`)
  return found
}

function podSpec(manifests: readonly Manifest[], workload: string) {
  const spec = workloads(manifests).find(({ name }) => name === workload)?.template.spec
  assert(spec !== undefined, `there is no pod of ${workload}`)
  return spec
}

function settings(manifests: readonly Manifest[]): Record<string, string> {
  const found = ofKind(manifests, 'ConfigMap').find(({ metadata }) => metadata?.name?.startsWith('settings-'))
  assert(found?.data !== undefined, 'there are no settings')
  return found.data
}

function add(manifests: readonly Manifest[], manifest: object): void {
  ;(manifests as Manifest[]).push(manifest as Manifest)
}

const HIGHLOAD = { namespace: 'highload' }

/** One for each thing that a policy looks at. */
export const MUTATIONS: readonly Mutation[] = [
  {
    what: 'the namespace does not enforce pod security',
    change: all => void delete one(all, 'Namespace').metadata?.labels?.['pod-security.kubernetes.io/enforce'],
    says: /pod security is not enforced/,
  },
  {
    what: 'a pod may run as root',
    change: all => void Object.assign(podSpec(all, 'gateway').securityContext ?? {}, { runAsUser: 0 }),
    says: /Deployment gateway: may run as root/,
  },
  {
    what: 'a pod has no seccomp profile',
    change: all => void delete podSpec(all, 'redis').securityContext?.seccompProfile,
    says: /StatefulSet redis: has no seccomp profile/,
  },
  {
    what: 'a pod gets a token',
    change: all => void delete podSpec(all, 'analyzer').automountServiceAccountToken,
    says: /Deployment analyzer: gets a token/,
  },
  {
    what: "a pod is in its node's network",
    change: all => void Object.assign(podSpec(all, 'gateway'), { hostNetwork: true }),
    says: /uses its node's namespaces/,
  },
  {
    what: "a container takes a port of its node's",
    change: all => void Object.assign(container(all, 'gateway').ports?.[0] ?? {}, { hostPort: 8080 }),
    says: /takes a port of its node's/,
  },
  {
    what: 'a pod mounts a folder of its node',
    change: all => void Object.assign(podSpec(all, 'gateway'), { volumes: [{ name: 'x', hostPath: { path: '/' } }] }),
    says: /has a volume of type hostPath/,
  },
  {
    what: 'a root file system can be written',
    change: all => void delete container(all, 'redis').securityContext?.readOnlyRootFilesystem,
    says: /redis: its root file system can be written/,
  },
  {
    what: 'a container may gain rights',
    change: all => void delete container(all, 'gateway').securityContext?.allowPrivilegeEscalation,
    says: /it may gain rights/,
  },
  {
    what: 'a container keeps capabilities',
    change: all => void delete container(all, 'gateway').securityContext?.capabilities?.drop,
    says: /it keeps capabilities/,
  },
  ...['redis', 'redis:latest', 'registry.example.com:5000/redis'].map(image => ({
    what: `an image is ${image}`,
    change: (all: readonly Manifest[]) => void Object.assign(container(all, 'redis'), { image }),
    says: /its image has no version/,
  })),
  {
    what: 'a container has no memory limit',
    change: all => void delete container(all, 'analyzer').resources?.limits?.memory,
    says: /analyzer: memory has no request or no limit/,
  },
  {
    what: 'a request is above its limit',
    change: all => void Object.assign(container(all, 'gateway').resources?.requests ?? {}, { cpu: 2 }),
    says: /its request of cpu is above the limit/,
  },
  {
    what: 'a probe is missing',
    change: all => void delete container(all, 'redis').startupProbe,
    says: /redis: has no startupProbe/,
  },
  {
    what: 'a probe asks a port that is not there',
    change: all => void Object.assign(container(all, 'gateway').livenessProbe?.httpGet ?? {}, { port: 'ops' }),
    says: /livenessProbe asks port ops/,
  },
  {
    what: 'liveness rests on Redis',
    change: all => void Object.assign(container(all, 'analyzer').livenessProbe?.httpGet ?? {}, { path: '/readyz' }),
    says: /livenessProbe rests on Redis/,
  },
  {
    what: 'all gateways would leave their Service with Redis',
    change: all => void Object.assign(container(all, 'gateway').readinessProbe?.httpGet ?? {}, { path: '/readyz' }),
    says: /all would leave their Service together/,
  },
  {
    what: 'a gateway gets traffic before it has reached Redis',
    change: all => void Object.assign(container(all, 'gateway').startupProbe?.httpGet ?? {}, { path: '/livez' }),
    says: /it gets traffic before/,
  },
  {
    what: 'a gateway is killed while it stops',
    change: all => void Object.assign(podSpec(all, 'gateway'), { terminationGracePeriodSeconds: 30 }),
    says: /gateway: it is killed after 30 s/,
  },
  {
    what: 'a gateway leaves before the proxies know',
    change: all => void delete container(all, 'gateway').lifecycle,
    says: /gateway: it leaves 0 s/,
  },
  {
    what: 'Redis evicts',
    change: all => void replaceArgument(all, 'noeviction', 'allkeys-lru'),
    says: /it would evict samples/,
  },
  { what: 'Redis writes no file', change: all => void replaceArgument(all, 'yes', 'no'), says: /it writes no file/ },
  {
    what: 'Redis may fill its memory limit',
    change: all => void replaceArgument(all, '1280mb', '2048mb'),
    says: /maxmemory is too near/,
  },
  {
    what: 'two objects have one name',
    change: all => add(all, structuredClone(one(all, 'Service', 'redis'))),
    says: /Service redis: there are two/,
  },
  {
    what: 'an object is in another namespace',
    change: all => void Object.assign(one(all, 'Service', 'redis').metadata ?? {}, { namespace: 'default' }),
    says: /Service redis: it is not in highload/,
  },
  {
    what: 'a Secret is among the manifests',
    change: all => add(all, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'tidemark-redis', ...HIGHLOAD } }),
    says: /Secret tidemark-redis: it is in the manifests/,
  },
  {
    what: 'a password stands in an environment',
    change: all => void container(all, 'redis').env?.push({ name: 'REDISCLI_PASSWORD', value: 'hunter2' }),
    says: /REDISCLI_PASSWORD is written down/,
  },
  {
    what: 'REDIS_URL stands in an environment',
    change: all => void container(all, 'gateway').env?.push({ name: 'REDIS_URL', value: 'redis://:hunter2@redis' }),
    says: /REDIS_URL is written down/,
  },
  {
    what: 'a Service selects nothing',
    change: all => void Object.assign(one(all, 'Service', 'gateway').spec ?? {}, { selector: { app: 'gateway' } }),
    says: /Service gateway: it selects no pod/,
  },
  {
    what: 'a budget selects nothing',
    change: all =>
      void Object.assign(one(all, 'PodDisruptionBudget', 'redis').spec?.selector?.matchLabels ?? {}, { a: 'b' }),
    says: /PodDisruptionBudget redis: it selects no pod/,
  },
  {
    what: 'a NetworkPolicy selects nothing',
    change: all =>
      void Object.assign(one(all, 'NetworkPolicy', 'gateway').spec?.podSelector ?? {}, { matchLabels: { a: 'b' } }),
    says: /NetworkPolicy gateway: it selects no pod/,
  },
  {
    what: 'a PodMonitor selects nothing',
    change: all => void Object.assign(one(all, 'PodMonitor').spec, { selector: { matchLabels: { a: 'b' } } }),
    says: /PodMonitor tidemark: it selects no pod/,
    from: 'component monitoring',
  },
  {
    what: 'a Deployment does not select its own pods',
    change: all => void Object.assign(one(all, 'Deployment', 'gateway').spec?.selector.matchLabels ?? {}, { a: 'b' }),
    says: /Deployment gateway: it does not select its own pods/,
  },
  {
    what: "a Deployment selects another's pods",
    change: all => void Object.assign(one(all, 'Deployment', 'gateway').spec?.selector ?? {}, { matchLabels: {} }),
    says: /Deployment gateway: it selects pods of/,
  },
  {
    what: 'a spread looks at other pods',
    change: all =>
      void Object.assign(podSpec(all, 'gateway').topologySpreadConstraints?.[0]?.labelSelector ?? {}, {
        matchLabels: { 'app.kubernetes.io/name': 'analyzer' },
      }),
    says: /Deployment gateway: it does not select its own pods/,
  },
  {
    what: 'a Service leads to no port',
    change: all => void Object.assign(one(all, 'Service', 'gateway').spec?.ports?.[0] ?? {}, { targetPort: 'web' }),
    says: /Service gateway: its pods have no port web/,
  },
  {
    what: 'a PodMonitor asks no port',
    change: all => void Object.assign(one(all, 'PodMonitor').spec.podMetricsEndpoints?.[0] ?? {}, { port: 'ops' }),
    says: /PodMonitor tidemark: .* has no port ops/,
    from: 'component monitoring',
  },
  {
    what: 'a route leads to no Service',
    change: all => void Object.assign(one(all, 'HTTPRoute').spec?.rules?.[0]?.backendRefs?.[0] ?? {}, { port: 80 }),
    says: /HTTPRoute gateway: no Service gateway with port 80/,
    from: 'component gateway-api',
  },
  {
    what: 'an Ingress leads to no Service',
    change: all =>
      void Object.assign(one(all, 'Ingress').spec?.rules?.[0]?.http?.paths[0]?.backend.service ?? {}, { name: 'web' }),
    says: /Ingress gateway: no Service web/,
    from: 'component ingress',
  },
  {
    what: 'a container has another port than its service listens on',
    change: all => void Object.assign(container(all, 'analyzer').ports?.[0] ?? {}, { containerPort: 9465 }),
    says: /Deployment analyzer: ports 9465, not 9464/,
  },
  {
    what: 'a ServiceAccount is missing',
    change: all => void Object.assign(podSpec(all, 'gateway'), { serviceAccountName: 'nobody' }),
    says: /there is no ServiceAccount nobody/,
  },
  {
    what: 'a ConfigMap is missing',
    change: all => void Object.assign(container(all, 'gateway').envFrom?.[0]?.configMapRef ?? {}, { name: 'nothing' }),
    says: /there is no ConfigMap nothing/,
  },
  {
    what: 'a Secret is asked for that nobody is told to make',
    change: all =>
      void Object.assign(container(all, 'gateway').env?.[0]?.valueFrom?.secretKeyRef ?? {}, { key: 'URL' }),
    says: /nobody is told to make a Secret tidemark-redis with URL/,
  },
  {
    what: 'a setting is none',
    change: all => void Object.assign(settings(all), { PARTITION: '16' }),
    says: /no service has PARTITION$/m,
  },
  {
    what: 'a setting has a wrong value',
    change: all => void Object.assign(settings(all), { DURABILITY: 'eternal' }),
    says: /settings are missing or wrong:\s+DURABILITY/,
  },
  {
    what: 'the live feed is cut off',
    change: all => void Object.assign(one(all, 'HTTPRoute').spec?.rules?.[0]?.timeouts ?? {}, { request: '15s' }),
    says: /\/events has a time-out/,
    from: 'component gateway-api',
  },
  {
    what: 'KEDA and an HPA scale the same',
    change: all =>
      add(all, {
        ...structuredClone(one(all, 'HorizontalPodAutoscaler', 'gateway')),
        metadata: { name: 'second', ...HIGHLOAD },
        spec: {
          ...one(all, 'HorizontalPodAutoscaler', 'gateway').spec,
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'analyzer' },
        },
      }),
    says: /Deployment analyzer: it has 2 autoscalers/,
    from: 'component keda',
  },
  {
    what: 'a tier has no autoscaler',
    change: all => void Object.assign(one(all, 'HorizontalPodAutoscaler', 'gateway'), { kind: 'Service', spec: {} }),
    says: /Deployment gateway: it has 0 autoscalers/,
  },
  {
    what: 'a manifest sets the replicas of what is scaled',
    change: all => void Object.assign(one(all, 'Deployment', 'gateway').spec ?? {}, { replicas: 2 }),
    says: /Deployment gateway: it has replicas/,
  },
  {
    what: 'an autoscaler has no target',
    change: all =>
      void Object.assign(one(all, 'HorizontalPodAutoscaler', 'gateway').spec.scaleTargetRef, { name: 'web' }),
    says: /HorizontalPodAutoscaler gateway: there is no Deployment web/,
  },
  {
    what: 'CPU is measured against no request',
    change: all => void delete container(all, 'gateway').resources?.requests?.cpu,
    says: /Deployment gateway asks for no CPU/,
  },
  {
    what: 'there may be more analyzers than partitions',
    change: all => void Object.assign(one(all, 'HorizontalPodAutoscaler', 'analyzer').spec, { maxReplicas: 17 }),
    says: /HorizontalPodAutoscaler analyzer: 17 for 16 partitions/,
  },
  {
    what: 'KEDA may make more analyzers than there are partitions',
    change: all => void Object.assign(one(all, 'ScaledObject').spec, { maxReplicaCount: 17 }),
    says: /ScaledObject analyzer: 17 for 16 partitions/,
    from: 'component keda',
  },
  {
    what: 'the least is more than the most',
    change: all => void Object.assign(one(all, 'HorizontalPodAutoscaler', 'gateway').spec, { minReplicas: 6 }),
    says: /HorizontalPodAutoscaler gateway: from 6 to 5/,
  },
  {
    what: 'a tier shrinks at once',
    change: all =>
      void Object.assign(one(all, 'HorizontalPodAutoscaler', 'gateway').spec.behavior?.scaleDown ?? {}, {
        stabilizationWindowSeconds: 0,
      }),
    says: /HorizontalPodAutoscaler gateway: it shrinks after 0 s/,
  },
  {
    what: 'KEDA asks for a metric that nobody has',
    change: all => {
      const trigger = one(all, 'ScaledObject').spec.triggers.find(({ type }) => type === 'prometheus')
      Object.assign(trigger?.metadata ?? {}, { query: 'max(analyzer_lag_seconds{namespace="highload"})' })
    },
    says: /no service has analyzer_lag_seconds/,
    from: 'component keda',
  },
  {
    what: 'a budget leaves no room',
    change: all => void Object.assign(one(all, 'PodDisruptionBudget', 'redis').spec ?? {}, { maxUnavailable: 0 }),
    says: /PodDisruptionBudget redis: no pod may ever leave/,
  },
  {
    what: 'a budget wants as many as there are at least',
    change: all => {
      const budget = one(all, 'PodDisruptionBudget', 'gateway')
      delete budget.spec?.maxUnavailable
      Object.assign(budget.spec ?? {}, { minAvailable: 2 })
    },
    says: /PodDisruptionBudget gateway: no pod may ever leave/,
  },
  {
    what: 'a tier has no budget',
    change: all =>
      void Object.assign(one(all, 'PodDisruptionBudget', 'gateway').spec?.selector ?? {}, { matchLabels: { a: 'b' } }),
    says: /Deployment gateway: it has no budget/,
  },
]

interface LinkMutation {
  readonly what: string
  readonly change: (manifests: readonly Manifest[]) => void
  readonly link: string
}

/** What opens a way that must not be. */
export const OPENINGS: readonly LinkMutation[] = [
  {
    what: 'nothing is forbidden',
    change: all => void Object.assign(one(all, 'NetworkPolicy', 'deny-all').spec ?? {}, { policyTypes: [] }),
    link: 'redis -> internet:443',
  },
  {
    what: 'anybody may connect to Redis',
    change: all => void Object.assign(one(all, 'NetworkPolicy', 'redis').spec?.ingress?.[0] ?? {}, { from: undefined }),
    link: 'impostor -> redis:6379',
  },
  {
    what: 'the gateway takes requests from any namespace',
    change: all =>
      void Object.assign(one(all, 'NetworkPolicy', 'gateway').spec?.ingress?.[0]?.from?.[0] ?? {}, {
        namespaceSelector: {},
      }),
    link: 'impostor -> gateway:8080',
  },
  {
    what: 'the gateway shows every port',
    change: all =>
      void Object.assign(one(all, 'NetworkPolicy', 'gateway').spec?.ingress?.[0] ?? {}, { ports: undefined }),
    link: 'proxy -> gateway:9464',
  },
  {
    what: "Redis' clients may go anywhere",
    change: all =>
      void Object.assign(one(all, 'NetworkPolicy', 'redis-clients').spec?.egress?.[0]?.to?.[0] ?? {}, {
        podSelector: undefined,
        ipBlock: { cidr: '0.0.0.0/0' },
      }),
    link: 'gateway -> internet:6379',
  },
]

/** What closes a way that is needed. */
export const CLOSINGS: readonly LinkMutation[] = [
  {
    what: 'the analyzer has no way to Redis',
    change: all => {
      const template = one(all, 'Deployment', 'analyzer').spec?.template
      delete template?.metadata?.labels?.['tidemark/redis-client']
    },
    link: 'analyzer -> redis:6379',
  },
  {
    what: 'names cannot be looked up',
    change: all => void one(all, 'NetworkPolicy', 'redis-clients').spec?.egress?.pop(),
    link: 'gateway -> dns:53',
  },
  {
    what: 'a policy names a port that has another name',
    change: all =>
      void Object.assign(one(all, 'NetworkPolicy', 'redis').spec?.ingress?.[0]?.ports?.[0] ?? {}, { port: 'db' }),
    link: 'gateway -> redis:6379',
  },
]

function replaceArgument(manifests: readonly Manifest[], from: string, to: string): void {
  const redis = container(manifests, 'redis')
  const args = redis.args ?? []
  assert(args.includes(from), `redis has no argument ${from}`)
  redis.args = args.map(it => (it === from ? to : it))
}
