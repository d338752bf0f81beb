import assert from 'node:assert/strict'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import type { IContainer } from 'kubernetes-models/v1'
import { type Kinds, ofKind, workloads } from './manifest.ts'

/** A fault in the manifests, and the message that the policies must return for it. */
export interface Mutation {
  readonly what: string
  readonly change: (manifests: readonly Manifest[]) => void
  readonly expected: RegExp
  /** The build that is changed; the base by default. */
  readonly from?: string
}

/** Returns the object of this kind, by name if there are several. */
export function one<K extends keyof Kinds>(manifests: readonly Manifest[], kind: K, name?: string): Kinds[K] {
  const found = ofKind(manifests, kind).find(({ metadata }) => name === undefined || metadata?.name === name)
  assert(found !== undefined, `no ${kind} ${name ?? ''}`)
  return found
}

/** Returns the first container of a workload. */
export function container(manifests: readonly Manifest[], workload: string): IContainer {
  const found = workloads(manifests).find(({ name }) => name === workload)?.template.spec?.containers[0]
  assert(found !== undefined, `no container of ${workload}`)
  return found
}

function podSpec(manifests: readonly Manifest[], workload: string) {
  const spec = workloads(manifests).find(({ name }) => name === workload)?.template.spec
  assert(spec !== undefined, `no pod of ${workload}`)
  return spec
}

function settings(manifests: readonly Manifest[]): Record<string, string> {
  const found = ofKind(manifests, 'ConfigMap').find(({ metadata }) => metadata?.name?.startsWith('settings-'))
  assert(found?.data !== undefined, 'no settings')
  return found.data
}

function add(manifests: readonly Manifest[], manifest: object): void {
  ;(manifests as Manifest[]).push(manifest as Manifest)
}

const HIGHLOAD = { namespace: 'highload' }

/** One fault for each check of a policy. */
export const MUTATIONS: readonly Mutation[] = [
  {
    what: 'the namespace does not enforce pod security',
    change: all => void delete one(all, 'Namespace').metadata?.labels?.['pod-security.kubernetes.io/enforce'],
    expected: /pod security is not enforced/,
  },
  {
    what: 'a pod may run as root',
    change: all => void Object.assign(podSpec(all, 'gateway').securityContext ?? {}, { runAsUser: 0 }),
    expected: /Deployment gateway: may run as root/,
  },
  {
    what: 'a pod has no seccomp profile',
    change: all => void delete podSpec(all, 'redis').securityContext?.seccompProfile,
    expected: /StatefulSet redis: has no seccomp profile/,
  },
  {
    what: 'a pod mounts a service account token',
    change: all => void delete podSpec(all, 'analyzer').automountServiceAccountToken,
    expected: /Deployment analyzer: mounts a service account token/,
  },
  {
    what: 'a pod uses the host network',
    change: all => void Object.assign(podSpec(all, 'gateway'), { hostNetwork: true }),
    expected: /uses host namespaces/,
  },
  {
    what: 'a container uses a host port',
    change: all => void Object.assign(container(all, 'gateway').ports?.[0] ?? {}, { hostPort: 8080 }),
    expected: /uses a host port/,
  },
  {
    what: 'a pod mounts a folder of its node',
    change: all => void Object.assign(podSpec(all, 'gateway'), { volumes: [{ name: 'x', hostPath: { path: '/' } }] }),
    expected: /has a volume of type hostPath/,
  },
  {
    what: 'a root file system is writable',
    change: all => void delete container(all, 'redis').securityContext?.readOnlyRootFilesystem,
    expected: /redis: its root file system is writable/,
  },
  {
    what: 'a container allows privilege escalation',
    change: all => void delete container(all, 'gateway').securityContext?.allowPrivilegeEscalation,
    expected: /it allows privilege escalation/,
  },
  {
    what: 'a container keeps capabilities',
    change: all => void delete container(all, 'gateway').securityContext?.capabilities?.drop,
    expected: /it keeps capabilities/,
  },
  ...['redis', 'redis:latest', 'registry.example.com:5000/redis'].map(image => ({
    what: `an image is ${image}`,
    change: (all: readonly Manifest[]) => void Object.assign(container(all, 'redis'), { image }),
    expected: /its image has no version/,
  })),
  {
    what: 'a container has no memory limit',
    change: all => void delete container(all, 'analyzer').resources?.limits?.memory,
    expected: /analyzer: memory has no request or no limit/,
  },
  {
    what: 'the windows of an analyzer may fill its memory limit',
    change: all => void Object.assign(container(all, 'analyzer').resources?.limits ?? {}, { memory: '512Mi' }),
    expected: /analyzer: its memory limit is less than WINDOWS_BYTES_MAX/,
  },
  {
    what: 'WINDOWS_BYTES_MAX is raised without the limit',
    change: all =>
      void container(all, 'analyzer').env?.push({ name: 'WINDOWS_BYTES_MAX', value: String(512 * 1024 * 1024) }),
    expected: /analyzer: its memory limit is less than WINDOWS_BYTES_MAX/,
  },
  {
    what: 'a request is above its limit',
    change: all => void Object.assign(container(all, 'gateway').resources?.requests ?? {}, { cpu: 2 }),
    expected: /its request of cpu is above the limit/,
  },
  {
    what: 'a probe is missing',
    change: all => void delete container(all, 'redis').startupProbe,
    expected: /redis: has no startupProbe/,
  },
  {
    what: 'a probe uses a port that does not exist',
    change: all => void Object.assign(container(all, 'gateway').livenessProbe?.httpGet ?? {}, { port: 'ops' }),
    expected: /livenessProbe uses port ops/,
  },
  {
    what: 'liveness depends on Redis',
    change: all => void Object.assign(container(all, 'analyzer').livenessProbe?.httpGet ?? {}, { path: '/readyz' }),
    expected: /livenessProbe depends on Redis/,
  },
  {
    what: 'all gateways would leave their Service together with Redis',
    change: all => void Object.assign(container(all, 'gateway').readinessProbe?.httpGet ?? {}, { path: '/readyz' }),
    expected: /all pods would leave the Service at once/,
  },
  {
    what: 'a gateway gets traffic before it is connected to Redis',
    change: all => void Object.assign(container(all, 'gateway').startupProbe?.httpGet ?? {}, { path: '/livez' }),
    expected: /it gets traffic before/,
  },
  {
    what: 'a gateway is killed during its shutdown',
    change: all => void Object.assign(podSpec(all, 'gateway'), { terminationGracePeriodSeconds: 30 }),
    expected: /gateway: it is killed after 30 s/,
  },
  {
    what: 'a gateway stops before the proxies have removed it',
    change: all => void delete container(all, 'gateway').lifecycle,
    expected: /gateway: its preStop sleep of 0 s/,
  },
  {
    what: 'Redis evicts',
    change: all => void replaceArgument(all, 'noeviction', 'allkeys-lru'),
    expected: /it would evict samples/,
  },
  {
    what: 'Redis has no append-only file',
    change: all => void replaceArgument(all, 'yes', 'no'),
    expected: /it has no append-only file/,
  },
  {
    what: 'Redis may fill its memory limit',
    change: all => void replaceArgument(all, '1280mb', '1536mb'),
    expected: /maxmemory is too close/,
  },
  {
    what: 'Redis requests less memory than its limit',
    change: all => void Object.assign(container(all, 'redis').resources?.requests ?? {}, { memory: '1Gi' }),
    expected: /its memory request is below the limit/,
  },
  {
    what: 'the file of Redis is not repaired',
    change: all => void delete container(all, 'redis').command,
    expected: /it starts with a file that a crash cut off/,
  },
  {
    what: 'the file of Redis is never rewritten',
    change: all => void replaceArgument(all, '--auto-aof-rewrite-percentage', '--rewrite'),
    expected: /its file is not rewritten in time/,
  },
  {
    what: 'the gateway has no priority',
    change: all => void delete podSpec(all, 'gateway').priorityClassName,
    expected: /Deployment gateway: it has no priority/,
  },
  {
    what: 'the analyzer may evict Redis',
    change: all => void Object.assign(podSpec(all, 'analyzer'), { priorityClassName: 'tidemark-store' }),
    expected: /Deployment analyzer: it may evict Redis/,
  },
  {
    what: 'a service is not spread over zones',
    change: all => void podSpec(all, 'gateway').topologySpreadConstraints?.pop(),
    expected: /Deployment gateway: it is not spread by topology.kubernetes.io\/zone/,
  },
  {
    what: 'a pod is available at once',
    change: all => void delete one(all, 'Deployment', 'analyzer').spec?.minReadySeconds,
    expected: /Deployment analyzer: a pod that crashes at once counts as available/,
  },
  {
    what: 'an object would be left behind by --prune',
    change: all => void delete one(all, 'Service', 'redis').metadata?.labels?.['app.kubernetes.io/part-of'],
    expected: /Service redis: it is not labelled as part of tidemark/,
  },
  {
    what: 'a Service has IPv4 only',
    change: all => void delete one(all, 'Service', 'gateway').spec?.ipFamilyPolicy,
    expected: /Service gateway: it is of one address family/,
  },
  {
    what: 'a route attaches to a listener without TLS too',
    change: all => void delete one(all, 'HTTPRoute').spec?.parentRefs?.[0]?.sectionName,
    expected: /HTTPRoute gateway: it attaches to every listener of entry/,
    from: 'component gateway-api',
  },
  {
    what: 'a route attaches to a listener that does not exist',
    change: all => void Object.assign(one(all, 'Gateway').spec?.listeners[0] ?? {}, { name: 'tls' }),
    expected: /HTTPRoute gateway: entry has no listener https with TLS/,
    from: 'component gateway-listeners',
  },
  {
    what: 'alerts are those of another namespace',
    change: all => {
      const rule = one(all, 'PrometheusRule', 'tidemark-redis').spec?.groups?.[0]?.rules?.[0]
      Object.assign(rule ?? {}, { expr: 'redis_up{namespace="shop"} == 0' })
    },
    expected: /PrometheusRule tidemark-redis: it selects the namespace shop/,
    from: 'component monitoring',
  },
  {
    what: 'two objects have the same name',
    change: all => add(all, structuredClone(one(all, 'Service', 'redis'))),
    expected: /Service redis: it exists twice/,
  },
  {
    what: 'an object is in another namespace',
    change: all => void Object.assign(one(all, 'Service', 'redis').metadata ?? {}, { namespace: 'default' }),
    expected: /Service redis: it is not in highload/,
  },
  {
    what: 'a Secret is among the manifests',
    change: all => add(all, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'tidemark-redis', ...HIGHLOAD } }),
    expected: /Secret tidemark-redis: it is in the manifests/,
  },
  {
    what: 'an environment contains a password',
    change: all => void container(all, 'redis').env?.push({ name: 'REDISCLI_PASSWORD', value: 'hunter2' }),
    expected: /REDISCLI_PASSWORD is set in the manifest/,
  },
  {
    what: 'an environment contains REDIS_URL',
    change: all => void container(all, 'gateway').env?.push({ name: 'REDIS_URL', value: 'redis://:hunter2@redis' }),
    expected: /REDIS_URL is set in the manifest/,
  },
  {
    what: 'a Service selects nothing',
    change: all => void Object.assign(one(all, 'Service', 'gateway').spec ?? {}, { selector: { app: 'gateway' } }),
    expected: /Service gateway: it selects no pod/,
  },
  {
    what: 'a disruption budget selects nothing',
    change: all =>
      void Object.assign(one(all, 'PodDisruptionBudget', 'redis').spec?.selector?.matchLabels ?? {}, { a: 'b' }),
    expected: /PodDisruptionBudget redis: it selects no pod/,
  },
  {
    what: 'a NetworkPolicy selects nothing',
    change: all =>
      void Object.assign(one(all, 'NetworkPolicy', 'gateway').spec?.podSelector ?? {}, { matchLabels: { a: 'b' } }),
    expected: /NetworkPolicy gateway: it selects no pod/,
  },
  {
    what: 'a PodMonitor selects nothing',
    change: all => void Object.assign(one(all, 'PodMonitor').spec, { selector: { matchLabels: { a: 'b' } } }),
    expected: /PodMonitor tidemark: it selects no pod/,
    from: 'component monitoring',
  },
  {
    what: 'a Deployment does not select its own pods',
    change: all => void Object.assign(one(all, 'Deployment', 'gateway').spec?.selector.matchLabels ?? {}, { a: 'b' }),
    expected: /Deployment gateway: it does not select its own pods/,
  },
  {
    what: "a Deployment selects another's pods",
    change: all => void Object.assign(one(all, 'Deployment', 'gateway').spec?.selector ?? {}, { matchLabels: {} }),
    expected: /Deployment gateway: it selects pods of/,
  },
  {
    what: 'a topology spread selects other pods',
    change: all =>
      void Object.assign(podSpec(all, 'gateway').topologySpreadConstraints?.[0]?.labelSelector ?? {}, {
        matchLabels: { 'app.kubernetes.io/name': 'analyzer' },
      }),
    expected: /Deployment gateway: it does not select its own pods/,
  },
  {
    what: 'a Service has a target port that does not exist',
    change: all => void Object.assign(one(all, 'Service', 'gateway').spec?.ports?.[0] ?? {}, { targetPort: 'web' }),
    expected: /Service gateway: its pods have no port web/,
  },
  {
    what: 'a PodMonitor uses a port that does not exist',
    change: all => void Object.assign(one(all, 'PodMonitor').spec.podMetricsEndpoints?.[0] ?? {}, { port: 'ops' }),
    expected: /PodMonitor tidemark: .* has no port ops/,
    from: 'component monitoring',
  },
  {
    what: 'a route leads to no Service',
    change: all => void Object.assign(one(all, 'HTTPRoute').spec?.rules?.[0]?.backendRefs?.[0] ?? {}, { port: 80 }),
    expected: /HTTPRoute gateway: no Service gateway with port 80/,
    from: 'component gateway-api',
  },
  {
    what: 'an Ingress leads to no Service',
    change: all =>
      void Object.assign(one(all, 'Ingress').spec?.rules?.[0]?.http?.paths[0]?.backend.service ?? {}, { name: 'web' }),
    expected: /Ingress gateway: no Service web/,
    from: 'component ingress',
  },
  {
    what: 'an Ingress publishes everything',
    change: all => void Object.assign(one(all, 'Ingress').spec?.rules?.[0]?.http?.paths[0] ?? {}, { path: '/' }),
    expected: /Ingress gateway: \/metrics is published/,
    from: 'component ingress',
  },
  {
    what: 'an Ingress has a default backend',
    change: all =>
      void Object.assign(one(all, 'Ingress').spec ?? {}, { defaultBackend: { service: { name: 'gateway' } } }),
    expected: /Ingress gateway: \/unknown is published/,
    from: 'component ingress',
  },
  {
    what: 'a route publishes the metrics',
    change: all =>
      void Object.assign(one(all, 'HTTPRoute').spec?.rules?.[1]?.matches?.[0]?.path ?? {}, { value: '/metrics' }),
    expected: /HTTPRoute gateway: \/ingest is not published\nHTTPRoute gateway: \/metrics is published/,
    from: 'component gateway-api',
  },
  {
    what: 'a route has a rule without a match',
    change: all => void Object.assign(one(all, 'HTTPRoute').spec?.rules?.[1] ?? {}, { matches: undefined }),
    expected: /HTTPRoute gateway: \/livez is published/,
    from: 'component gateway-api',
  },
  {
    what: 'a container declares another port than its service listens on',
    change: all => void Object.assign(container(all, 'analyzer').ports?.[0] ?? {}, { containerPort: 9465 }),
    expected: /Deployment analyzer: ports 9465, not 9464/,
  },
  {
    what: 'a ServiceAccount is missing',
    change: all => void Object.assign(podSpec(all, 'gateway'), { serviceAccountName: 'missing' }),
    expected: /no ServiceAccount missing/,
  },
  {
    what: 'a ConfigMap is missing',
    change: all => void Object.assign(container(all, 'gateway').envFrom?.[0]?.configMapRef ?? {}, { name: 'missing' }),
    expected: /no ConfigMap missing/,
  },
  {
    what: 'a Secret is used that docs/deployment.md does not create',
    change: all =>
      void Object.assign(container(all, 'gateway').env?.[0]?.valueFrom?.secretKeyRef ?? {}, { key: 'URL' }),
    expected: /deployment\.md creates no Secret tidemark-redis with URL/,
  },
  {
    what: 'a Secret is mounted that docs/deployment.md does not create',
    change: all => void Object.assign(podSpec(all, 'gateway').volumes?.[1]?.secret ?? {}, { secretName: 'api-keys' }),
    expected: /deployment\.md creates no Secret api-keys$/m,
  },
  {
    what: 'a file of a Secret is mounted that docs/deployment.md does not create',
    change: all => void Object.assign(podSpec(all, 'redis').volumes?.[0]?.secret?.items?.[0] ?? {}, { key: 'users' }),
    expected: /deployment\.md creates no Secret tidemark-redis with users$/m,
  },
  {
    what: 'a setting does not exist',
    change: all => void Object.assign(settings(all), { PARTITION: '16' }),
    expected: /no service has PARTITION$/m,
  },
  {
    what: 'a setting has a wrong value',
    change: all => void Object.assign(settings(all), { DURABILITY: 'eternal' }),
    expected: /settings are missing or wrong:\s+DURABILITY/,
  },
  {
    what: 'the live feed has a timeout',
    change: all => void Object.assign(one(all, 'HTTPRoute').spec?.rules?.[0]?.timeouts ?? {}, { request: '15s' }),
    expected: /\/events has a timeout/,
    from: 'component gateway-api',
  },
  {
    what: 'KEDA and an HPA scale the same workload',
    change: all =>
      add(all, {
        ...structuredClone(one(all, 'HorizontalPodAutoscaler', 'gateway')),
        metadata: { name: 'second', ...HIGHLOAD },
        spec: {
          ...one(all, 'HorizontalPodAutoscaler', 'gateway').spec,
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'analyzer' },
        },
      }),
    expected: /Deployment analyzer: it has 2 autoscalers/,
    from: 'component keda',
  },
  {
    what: 'a service has no autoscaler',
    change: all => void Object.assign(one(all, 'HorizontalPodAutoscaler', 'gateway'), { kind: 'Service', spec: {} }),
    expected: /Deployment gateway: it has 0 autoscalers/,
  },
  {
    what: 'a manifest sets the replicas of an autoscaled workload',
    change: all => void Object.assign(one(all, 'Deployment', 'gateway').spec ?? {}, { replicas: 2 }),
    expected: /Deployment gateway: it sets replicas/,
  },
  {
    what: 'an autoscaler has no target',
    change: all =>
      void Object.assign(one(all, 'HorizontalPodAutoscaler', 'gateway').spec.scaleTargetRef, { name: 'web' }),
    expected: /HorizontalPodAutoscaler gateway: Deployment web does not exist/,
  },
  {
    what: 'CPU utilization has no CPU request to refer to',
    change: all => void delete container(all, 'gateway').resources?.requests?.cpu,
    expected: /Deployment gateway requests no CPU/,
  },
  {
    what: 'an HPA allows more analyzers than partitions',
    change: all => void Object.assign(one(all, 'HorizontalPodAutoscaler', 'analyzer').spec, { maxReplicas: 17 }),
    expected: /HorizontalPodAutoscaler analyzer: 17 for 16 partitions/,
  },
  {
    what: 'KEDA allows more analyzers than partitions',
    change: all => void Object.assign(one(all, 'ScaledObject').spec, { maxReplicaCount: 17 }),
    expected: /ScaledObject analyzer: 17 for 16 partitions/,
    from: 'component keda',
  },
  {
    what: 'the minimum is greater than the maximum',
    change: all => void Object.assign(one(all, 'HorizontalPodAutoscaler', 'gateway').spec, { minReplicas: 6 }),
    expected: /HorizontalPodAutoscaler gateway: its range is 6 to 5/,
  },
  {
    what: 'a service scales down immediately',
    change: all =>
      void Object.assign(one(all, 'HorizontalPodAutoscaler', 'gateway').spec.behavior?.scaleDown ?? {}, {
        stabilizationWindowSeconds: 0,
      }),
    expected: /HorizontalPodAutoscaler gateway: it scales down after 0 s/,
  },
  {
    what: 'KEDA uses a metric that no service has',
    change: all => {
      const trigger = one(all, 'ScaledObject').spec.triggers.find(({ type }) => type === 'prometheus')
      Object.assign(trigger?.metadata ?? {}, { query: 'max(analyzer_lag_seconds{namespace="highload"})' })
    },
    expected: /no service has analyzer_lag_seconds/,
    from: 'component keda',
  },
  {
    what: 'a disruption budget allows no disruption',
    change: all => void Object.assign(one(all, 'PodDisruptionBudget', 'redis').spec ?? {}, { maxUnavailable: 0 }),
    expected: /PodDisruptionBudget redis: no pod can ever be evicted/,
  },
  {
    what: 'a disruption budget requires as many pods as the autoscaler guarantees',
    change: all => {
      const budget = one(all, 'PodDisruptionBudget', 'gateway')
      delete budget.spec?.maxUnavailable
      Object.assign(budget.spec ?? {}, { minAvailable: 2 })
    },
    expected: /PodDisruptionBudget gateway: no pod can ever be evicted/,
  },
  {
    what: 'a service has no disruption budget',
    change: all =>
      void Object.assign(one(all, 'PodDisruptionBudget', 'gateway').spec?.selector ?? {}, { matchLabels: { a: 'b' } }),
    expected: /Deployment gateway: it has no budget/,
  },
]

interface LinkMutation {
  readonly what: string
  readonly change: (manifests: readonly Manifest[]) => void
  readonly link: string
}

/** Faults that allow a forbidden connection. */
export const OPENINGS: readonly LinkMutation[] = [
  {
    what: 'no connection is denied by default',
    change: all => void Object.assign(one(all, 'NetworkPolicy', 'deny-all').spec ?? {}, { policyTypes: [] }),
    link: 'redis -> internet:443',
  },
  {
    what: 'every pod may connect to Redis',
    change: all => void Object.assign(one(all, 'NetworkPolicy', 'redis').spec?.ingress?.[0] ?? {}, { from: undefined }),
    link: 'impostor -> redis:6379',
  },
  {
    what: 'the gateway accepts requests from any namespace',
    change: all =>
      void Object.assign(one(all, 'NetworkPolicy', 'gateway').spec?.ingress?.[0]?.from?.[0] ?? {}, {
        namespaceSelector: {},
      }),
    link: 'impostor -> gateway:8080',
  },
  {
    what: 'the gateway opens every port',
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

/** Faults that deny a required connection. */
export const CLOSINGS: readonly LinkMutation[] = [
  {
    what: 'the analyzer may not connect to Redis',
    change: all => {
      const template = one(all, 'Deployment', 'analyzer').spec?.template
      delete template?.metadata?.labels?.['tidemark/redis-client']
    },
    link: 'analyzer -> redis:6379',
  },
  {
    what: 'DNS is denied',
    change: all => void one(all, 'NetworkPolicy', 'redis-clients').spec?.egress?.pop(),
    link: 'gateway -> dns:53',
  },
  {
    what: 'a policy uses the name of another port',
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
