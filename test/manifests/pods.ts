import { readFileSync } from 'node:fs'
import type { IContainer, IProbe } from 'kubernetes-models/v1'
import { ofKind, portOf, quantity, type Workload, workloads } from './manifest.ts'
import type { Policy } from './policy.ts'

/** Volumes that the restricted standard allows. */
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

/** Between the moment when a service gives up by itself and that when it is killed. */
const SPARE_S = 5

/** Proxies may take so long to hear that a pod is leaving. */
const PROXIES_HEAR_S = 5

/** What a Redis may use of its memory limit: a rewrite of its file copies what is written meanwhile. */
const REDIS_SHARE_MAX = 0.75

/** Rules about each pod for itself. */
export const podPolicies: readonly Policy[] = [
  {
    title: 'pods are restricted, and the namespace says so',
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
    title: 'containers cannot write to their file system, gain rights or keep capabilities',
    faults: manifests =>
      eachContainer(manifests, ({ securityContext }) => [
        ...(securityContext?.readOnlyRootFilesystem === true ? [] : ['its root file system can be written']),
        ...(securityContext?.allowPrivilegeEscalation === false ? [] : ['it may gain rights']),
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
    title: 'containers ask for CPU and memory and have a limit of both',
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
    title: 'what runs for long has all three probes, and none of liveness asks Redis',
    faults: manifests =>
      workloads(manifests)
        .filter(({ kind }) => kind !== 'Job')
        .flatMap(workload => (workload.template.spec?.containers ?? []).flatMap(it => probeFaults(workload, it))),
  },
  {
    title: 'the gateway stays ready while Redis is away',
    faults: manifests =>
      containersNamed(manifests, 'gateway').flatMap(({ readinessProbe, startupProbe }) => [
        ...(readinessProbe?.httpGet?.path === '/livez' ? [] : ['gateway: all would leave their Service together']),
        ...(startupProbe?.httpGet?.path === '/readyz' ? [] : ['gateway: it gets traffic before it has reached Redis']),
      ]),
  },
  {
    title: 'a pod is killed after its service had the time to stop, and leaves after the proxies heard of it',
    faults: manifests =>
      workloads(manifests).flatMap(({ name, template }) => {
        const sleepS = template.spec?.containers[0]?.lifecycle?.preStop?.sleep?.seconds ?? 0
        const graceS = template.spec?.terminationGracePeriodSeconds ?? 30
        const isOurs = name === 'gateway' || name === 'analyzer'
        return [
          ...(isOurs && sleepS + stopDeadlineS() + SPARE_S > graceS ? [`${name}: it is killed after ${graceS} s`] : []),
          ...(name === 'gateway' && sleepS < PROXIES_HEAR_S
            ? [`${name}: it leaves ${sleepS} s after it is told to`]
            : []),
        ]
      }),
  },
  {
    title: 'Redis evicts nothing, writes to its file and leaves memory to spare',
    faults: manifests =>
      containersNamed(manifests, 'redis').flatMap(({ args = [], resources }) => {
        const option = (name: string): string => args[args.indexOf(`--${name}`) + 1] ?? ''
        const max = Number.parseInt(option('maxmemory'), 10) * 2 ** 20
        return [
          ...(option('maxmemory-policy') === 'noeviction' ? [] : ['redis: it would evict samples']),
          ...(option('appendonly') === 'yes' ? [] : ['redis: it writes no file']),
          ...(max <= REDIS_SHARE_MAX * quantity(resources?.limits?.memory ?? 0)
            ? []
            : ['redis: maxmemory is too near its limit']),
        ]
      }),
  },
]

function podFaults({ title, template }: Workload): string[] {
  const { spec } = template
  const context = spec?.securityContext
  const volumes = (spec?.volumes ?? []).flatMap(volume => Object.keys(volume).filter(key => key !== 'name'))
  const ports = (spec?.containers ?? []).flatMap(({ ports = [] }) => ports)
  const faults = [
    ...(context?.runAsNonRoot === true && (context.runAsUser ?? 0) > 0 ? [] : ['may run as root']),
    ...(context?.seccompProfile?.type === 'RuntimeDefault' ? [] : ['has no seccomp profile']),
    ...(spec?.automountServiceAccountToken === false ? [] : ['gets a token of the API']),
    ...(spec?.hostNetwork || spec?.hostPID || spec?.hostIPC ? ["uses its node's namespaces"] : []),
    ...(ports.some(({ hostPort }) => hostPort !== undefined) ? ["takes a port of its node's"] : []),
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
      : [`${name} asks port ${port}, which it has not`]
  })
  const isHarmless = (probe: IProbe): boolean => probe.exec === undefined && probe.httpGet?.path !== '/readyz'
  if (livenessProbe !== undefined && !isHarmless(livenessProbe))
    faults.push('livenessProbe rests on Redis or runs a program')
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

/** After so long a service that is told to stop gives up: what lifecycle.ts says. */
function stopDeadlineS(): number {
  const source = readFileSync(new URL('../../packages/shared/src/runtime/lifecycle.ts', import.meta.url), 'utf8')
  const deadlineMs = /^const STOP_DEADLINE_MS = ([\d_]+)$/m.exec(source)?.[1]
  if (deadlineMs === undefined) throw new Error('lifecycle.ts has no STOP_DEADLINE_MS')
  return Number(deadlineMs.replaceAll('_', '')) / 1000
}
