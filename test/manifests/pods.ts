import { analyzerSettings } from '@tidemark/analyzer/config'
import { STOP_DEADLINE_MS } from '@tidemark/shared/runtime/lifecycle'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import type { IContainer, IProbe } from 'kubernetes-models/v1'
import { ofKind, portOf, quantity, type Workload, workloads } from './manifest.ts'
import type { Policy } from './policy.ts'

/** Volume types that the restricted pod security standard allows. */
const VOLUMES = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]

/** Minimum time between the shutdown deadline of a service and its SIGKILL. */
const SPARE_S = 5

/** How long proxies may take to remove a terminating pod. */
const PROXY_UPDATE_S = 5

/** Share of the memory limit that Redis may use: a rewrite of its file copies written pages. */
const REDIS_SHARE_MAX = 0.45

/** What an analyzer needs besides its windows. `npm run memory` measured 370 MiB. */
const ANALYZER_RESERVE = 512 * 2 ** 20

/** Policies about single pods. */
export const podPolicies: readonly Policy[] = [
  {
    title: 'pods conform to the restricted standard, and the namespace enforces it',
    faults: manifests => [
      ...ofKind(manifests, 'Namespace').flatMap(({ metadata }) =>
        metadata?.labels?.['pod-security.kubernetes.io/enforce'] === 'restricted'
          ? []
          : [`Namespace ${metadata?.name}: pod security is not enforced`],
      ),
      ...workloads(manifests).flatMap(podFaults),
    ],
  },
  {
    title: 'containers have a read-only root file system, no capabilities and no privilege escalation',
    faults: manifests =>
      eachContainer(manifests, ({ securityContext }) => [
        ...(securityContext?.readOnlyRootFilesystem === true ? [] : ['its root file system is writable']),
        ...(securityContext?.allowPrivilegeEscalation === false ? [] : ['it allows privilege escalation']),
        ...(securityContext?.capabilities?.drop?.includes('ALL') === true ? [] : ['it keeps capabilities']),
        ...(securityContext?.capabilities?.add === undefined ? [] : ['it adds capabilities']),
        ...(securityContext?.privileged === true ? ['it is privileged'] : []),
      ]),
  },
  {
    title: 'images have a version',
    faults: manifests =>
      eachContainer(manifests, ({ image = '' }) =>
        /(:v?\d[\w.-]*|@sha256:[0-9a-f]{64})$/.test(image) ? [] : [`its image has no version: ${image}`],
      ),
  },
  {
    title: 'containers have requests and limits of CPU and memory',
    faults: manifests =>
      eachContainer(manifests, ({ resources }) =>
        ['cpu', 'memory'].flatMap(name => {
          const request = resources?.requests?.[name]
          const limit = resources?.limits?.[name]
          if (request === undefined || limit === undefined) return [`${name} has no request or no limit`]
          return quantity(request) <= quantity(limit) ? [] : [`its request of ${name} is above the limit`]
        }),
      ),
  },
  {
    title: 'long-running containers have all three probes, and liveness does not depend on Redis',
    faults: manifests =>
      workloads(manifests)
        .filter(({ kind }) => kind !== 'Job')
        .flatMap(workload => (workload.template.spec?.containers ?? []).flatMap(it => probeFaults(workload, it))),
  },
  {
    title: 'the gateway stays ready while Redis is unavailable',
    faults: manifests =>
      containersNamed(manifests, 'gateway').flatMap(({ readinessProbe, startupProbe }) => [
        ...(readinessProbe?.httpGet?.path === '/livez' ? [] : ['gateway: all pods would leave the Service at once']),
        ...(startupProbe?.httpGet?.path === '/readyz'
          ? []
          : ['gateway: it gets traffic before it is connected to Redis']),
      ]),
  },
  {
    title: 'a pod is killed only after its shutdown deadline and stops after proxies have removed it',
    faults: manifests =>
      workloads(manifests).flatMap(({ name, template }) => {
        const sleepS = template.spec?.containers[0]?.lifecycle?.preStop?.sleep?.seconds ?? 0
        const graceS = template.spec?.terminationGracePeriodSeconds ?? 30
        const isOurs = ['gateway', 'analyzer', 'mqtt'].includes(name)
        return [
          ...(isOurs && sleepS + STOP_DEADLINE_MS / 1000 + SPARE_S > graceS
            ? [`${name}: it is killed after ${graceS} s`]
            : []),
          ...(name === 'gateway' && sleepS < PROXY_UPDATE_S
            ? [`${name}: its preStop sleep of ${sleepS} s is too short`]
            : []),
        ]
      }),
  },
  {
    title: 'pods that samples depend on have a priority, Redis the highest',
    faults: manifests => {
      const priorityOf = (name: string | undefined): number =>
        ofKind(manifests, 'PriorityClass').find(({ metadata }) => metadata?.name === name)?.value ?? 0
      const priorities = workloads(manifests)
        .filter(({ name }) => ['gateway', 'analyzer', 'redis'].includes(name))
        .map(({ title, template }) => ({ title, value: priorityOf(template.spec?.priorityClassName) }))
      const redis = priorities.find(({ title }) => title === 'StatefulSet redis')?.value ?? Number.POSITIVE_INFINITY
      return priorities.flatMap(({ title, value }) => [
        ...(value > 0 ? [] : [`${title}: it has no priority`]),
        ...(title === 'StatefulSet redis' || value < redis ? [] : [`${title}: it may evict Redis`]),
      ])
    },
  },
  {
    title: 'services are spread over zones and nodes, and are available only after a while',
    faults: manifests =>
      ofKind(manifests, 'Deployment')
        .filter(({ metadata }) => ['gateway', 'analyzer'].includes(metadata?.name ?? ''))
        .flatMap(it => {
          const keys = (it.spec?.template.spec?.topologySpreadConstraints ?? []).map(({ topologyKey }) => topologyKey)
          return [
            ...['kubernetes.io/hostname', 'topology.kubernetes.io/zone']
              .filter(key => !keys.includes(key))
              .map(key => `Deployment ${it.metadata?.name}: it is not spread by ${key}`),
            ...((it.spec?.minReadySeconds ?? 0) >= 5
              ? []
              : [`Deployment ${it.metadata?.name}: a pod that crashes at once counts as available`]),
          ]
        }),
  },
  {
    title: 'an analyzer has memory for its windows and a reserve',
    faults: manifests => {
      const windows = windowsBytesMax(manifests)
      return containersNamed(manifests, 'analyzer').flatMap(({ resources }) =>
        windows + ANALYZER_RESERVE <= quantity(resources?.limits?.memory ?? 0)
          ? []
          : ['analyzer: its memory limit is less than WINDOWS_BYTES_MAX and 512 MiB'],
      )
    },
  },
  {
    title: 'Redis evicts nothing, has an append-only file and a memory reserve',
    faults: manifests =>
      containersNamed(manifests, 'redis').flatMap(({ args = [], command = [], resources }) => {
        const option = (name: string): string =>
          args.includes(`--${name}`) ? (args[args.indexOf(`--${name}`) + 1] ?? '') : ''
        const max = Number.parseInt(option('maxmemory'), 10) * 2 ** 20
        return [
          ...(option('maxmemory-policy') === 'noeviction' ? [] : ['redis: it would evict samples']),
          ...(option('appendonly') === 'yes' ? [] : ['redis: it has no append-only file']),
          ...(command.some(text => text.includes('redis-check-aof --fix'))
            ? []
            : ['redis: it starts with a file that a crash cut off']),
          ...(option('auto-aof-rewrite-percentage') === '' ? ['redis: its file is not rewritten in time'] : []),
          ...(quantity(resources?.requests?.memory ?? 0) === quantity(resources?.limits?.memory ?? 0)
            ? []
            : ['redis: its memory request is below the limit']),
          ...(max <= REDIS_SHARE_MAX * quantity(resources?.limits?.memory ?? 0)
            ? []
            : ['redis: maxmemory is too close to its limit']),
        ]
      }),
  },
]

/** Returns the setting that the analyzers get, or its default. */
function windowsBytesMax(manifests: readonly Manifest[]): number {
  const settings = ofKind(manifests, 'ConfigMap').find(({ metadata }) => metadata?.name?.startsWith('settings-'))
  const own = containersNamed(manifests, 'analyzer').flatMap(({ env = [] }) => env)
  const given = own.find(({ name }) => name === 'WINDOWS_BYTES_MAX')?.value ?? settings?.data?.WINDOWS_BYTES_MAX
  return analyzerSettings.shape.WINDOWS_BYTES_MAX.parse(given)
}

function podFaults({ title, template }: Workload): string[] {
  const { spec } = template
  const context = spec?.securityContext
  const volumes = (spec?.volumes ?? []).flatMap(volume => Object.keys(volume).filter(key => key !== 'name'))
  const ports = (spec?.containers ?? []).flatMap(({ ports = [] }) => ports)
  const faults = [
    ...(context?.runAsNonRoot === true && (context.runAsUser ?? 0) > 0 ? [] : ['may run as root']),
    ...(context?.seccompProfile?.type === 'RuntimeDefault' ? [] : ['has no seccomp profile']),
    ...(spec?.automountServiceAccountToken === false ? [] : ['mounts a service account token']),
    ...(spec?.hostNetwork || spec?.hostPID || spec?.hostIPC ? ['uses host namespaces'] : []),
    ...(ports.some(({ hostPort }) => hostPort !== undefined) ? ['uses a host port'] : []),
    ...volumes.filter(type => !VOLUMES.includes(type)).map(type => `has a volume of type ${type}`),
  ]
  return faults.map(fault => `${title}: ${fault}`)
}

function probeFaults(workload: Workload, container: IContainer): string[] {
  const { startupProbe, readinessProbe, livenessProbe } = container
  const probes = { startupProbe, readinessProbe, livenessProbe }
  const faults = Object.entries(probes).flatMap(([name, probe]) => {
    if (probe === undefined) return [`has no ${name}`]
    const port = probe.httpGet?.port ?? probe.tcpSocket?.port
    return port === undefined || portOf(workload, port) !== undefined
      ? []
      : [`${name} uses port ${port}, which does not exist`]
  })
  const isHarmless = (probe: IProbe): boolean => probe.exec === undefined && probe.httpGet?.path !== '/readyz'
  if (livenessProbe !== undefined && !isHarmless(livenessProbe))
    faults.push('livenessProbe depends on Redis or runs a program')
  return faults.map(fault => `${workload.title}, ${container.name}: ${fault}`)
}

function eachContainer(
  manifests: Parameters<Policy['faults']>[0],
  faultsOf: (container: IContainer) => string[],
): string[] {
  return workloads(manifests).flatMap(({ title, containers }) =>
    containers.flatMap(container => faultsOf(container).map(fault => `${title}, ${container.name}: ${fault}`)),
  )
}

function containersNamed(manifests: Parameters<Policy['faults']>[0], name: string): IContainer[] {
  return workloads(manifests).flatMap(({ containers }) => containers.filter(container => container.name === name))
}
