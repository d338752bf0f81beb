import { analyzerSettings } from '@tidemark/analyzer/config'
import { configSchema } from '@tidemark/gateway/config'
import { REDIS_USERS } from '@tidemark/gateway/secrets/deployment-secrets'
import { readConfig } from '@tidemark/shared/runtime/config'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import { nameOf, ofKind, portOf, selects, type Workload, workloads } from './manifest.ts'
import type { Policy } from './policy.ts'

const NAMESPACE = 'highload'

/** Kinds of objects that are in no namespace. */
const CLUSTER_SCOPED = ['Namespace', 'PriorityClass']

/** The Secrets that the commands in docs/deployment.md create, and their keys. */
const SECRETS: Readonly<Record<string, readonly string[]>> = {
  'tidemark-redis': ['REDIS_URL', 'users.acl', ...REDIS_USERS.map(user => `${user}-password`)],
  'tidemark-api-keys': ['api-keys.json'],
  'tidemark-canary': ['api-key'],
  'tidemark-load-test': ['api-key'],
  'tidemark-mqtt': ['password', 'api-key'],
  'tidemark-notifications': ['WEBHOOK_URLS', 'WEBHOOK_SECRET'],
}

/** The default ports of the services. */
const PORTS: Readonly<Record<string, readonly number[]>> = {
  gateway: [defaultOf('PORT'), defaultOf('METRICS_PORT')],
  analyzer: [defaultOf('METRICS_PORT')],
}

/** Policies about references between objects. */
export const wiringPolicies: readonly Policy[] = [
  {
    title: 'every object has a unique name and is in the namespace',
    faults: manifests => [
      ...repeated(manifests.map(nameOf)).map(name => `${name}: it exists twice`),
      ...manifests
        .filter(({ kind, metadata }) => !CLUSTER_SCOPED.includes(kind) && metadata.namespace !== NAMESPACE)
        .map(manifest => `${nameOf(manifest)}: it is not in ${NAMESPACE}`),
      ...ofKind(manifests, 'Namespace').flatMap(it => (it.metadata?.name === NAMESPACE ? [] : [nameOf(it)])),
    ],
  },
  {
    title: 'every object has the label by which `kubectl apply --prune` finds it',
    faults: manifests =>
      manifests
        .filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/part-of'] !== 'tidemark')
        .map(manifest => `${nameOf(manifest)}: it is not labelled as part of tidemark`),
  },
  {
    title: 'Services work with IPv4, IPv6 or both',
    faults: manifests =>
      ofKind(manifests, 'Service')
        .filter(({ spec }) => spec?.ipFamilyPolicy !== 'PreferDualStack')
        .map(service => `${nameOf(service)}: it is of one address family`),
  },
  {
    title: 'routes attach to a listener with TLS by its name',
    faults: manifests =>
      ofKind(manifests, 'HTTPRoute').flatMap(route =>
        (route.spec?.parentRefs ?? []).flatMap(({ name, namespace, sectionName }) => {
          if (sectionName === undefined) return [`${nameOf(route)}: it attaches to every listener of ${name}`]
          const own = ofKind(manifests, 'Gateway').find(it => it.metadata?.name === name && namespace === undefined)
          const listener = own?.spec?.listeners.find(it => it.name === sectionName)
          return own === undefined || listener?.tls?.mode === 'Terminate'
            ? []
            : [`${nameOf(route)}: ${name} has no listener ${sectionName} with TLS`]
        }),
      ),
  },
  {
    title: 'alerts select the series of their own namespace',
    faults: manifests =>
      ofKind(manifests, 'PrometheusRule').flatMap(it =>
        (it.spec?.groups ?? [])
          .flatMap(({ rules = [] }) => rules)
          .flatMap(({ expr }) => [...String(expr).matchAll(/namespace="([^"]*)"/g)])
          .filter(([, namespace]) => namespace !== it.metadata?.namespace)
          .map(([, namespace]) => `${nameOf(it)}: it selects the namespace ${namespace}`),
      ),
  },
  {
    title: 'no manifest contains a secret',
    faults: manifests => [
      ...ofKind(manifests, 'Secret').map(secret => `${nameOf(secret)}: it is in the manifests`),
      ...workloads(manifests).flatMap(({ title, containers }) =>
        containers
          .flatMap(({ env = [] }) => env)
          .filter(
            ({ name, value }) =>
              value !== undefined && /(?:URL|PASSWORD|TOKEN|KEY)$/.test(name) && /:\/\/|^[^$]/.test(value),
          )
          .filter(({ value = '' }) => !/^(https?|redis):\/\/[\w.-]+(:\d+)?$/.test(value))
          .map(({ name }) => `${title}: ${name} is set in the manifest`),
      ),
    ],
  },
  {
    title: 'selectors select existing objects',
    faults: manifests => selectorFaults(manifests, workloads(manifests)),
  },
  {
    title: 'ports refer to existing ports',
    faults: manifests => portFaults(manifests, workloads(manifests)),
  },
  {
    title: 'the containers declare the ports that the services listen on',
    faults: manifests =>
      workloads(manifests).flatMap(({ title, name, containers }) => {
        const expected = PORTS[name]
        const found = containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort))
        return expected === undefined || String(found) === String(expected)
          ? []
          : [`${title}: ports ${found}, not ${expected}`]
      }),
  },
  {
    title: 'referenced ConfigMaps, Secrets and ServiceAccounts exist',
    faults: manifests => workloads(manifests).flatMap(workload => referenceFaults(manifests, workload)),
  },
  {
    title: 'the settings are valid settings of the services',
    faults: manifests =>
      ofKind(manifests, 'ConfigMap')
        .filter(({ metadata }) => metadata?.name?.startsWith('settings-'))
        .flatMap(({ data = {} }) => settingFaults(data)),
  },
  {
    title: 'the live feed has no timeout',
    faults: manifests =>
      ofKind(manifests, 'HTTPRoute').flatMap(({ metadata, spec }) => {
        const feed = spec?.rules?.find(({ matches = [] }) => matches.some(({ path }) => path?.value === '/events'))
        return feed?.timeouts?.request === '0s' ? [] : [`HTTPRoute ${metadata?.name}: /events has a timeout`]
      }),
  },
]

function selectorFaults(manifests: readonly Manifest[], all: readonly Workload[]): string[] {
  const selecting = [
    ...ofKind(manifests, 'Service').map(it => ({ it, selector: { matchLabels: it.spec?.selector ?? {} } })),
    ...ofKind(manifests, 'PodDisruptionBudget').map(it => ({ it, selector: it.spec?.selector })),
    ...ofKind(manifests, 'PodMonitor').map(it => ({ it, selector: it.spec.selector })),
    ...ofKind(manifests, 'NetworkPolicy').map(it => ({ it, selector: it.spec?.podSelector })),
  ]
  const faults = selecting
    .filter(({ selector }) => !all.some(({ labels }) => selects(selector, labels)))
    .map(({ it }) => `${nameOf(it)}: it selects no pod`)
  for (const it of [...ofKind(manifests, 'Deployment'), ...ofKind(manifests, 'StatefulSet')]) {
    const labels = it.spec?.template.metadata?.labels ?? {}
    const spread = it.spec?.template.spec?.topologySpreadConstraints ?? []
    const own = [it.spec?.selector, ...spread.map(({ labelSelector }) => labelSelector)]
    if (!own.every(selector => selects(selector, labels))) faults.push(`${nameOf(it)}: it does not select its own pods`)
    const foreign = all.filter(other => other.title !== nameOf(it) && selects(it.spec?.selector, other.labels))
    if (foreign.length > 0) faults.push(`${nameOf(it)}: it selects pods of ${foreign[0]?.title}`)
  }
  return faults
}

function portFaults(manifests: readonly Manifest[], all: readonly Workload[]): string[] {
  const faults: string[] = []
  for (const service of ofKind(manifests, 'Service')) {
    const targets = all.filter(({ labels }) => selects({ matchLabels: service.spec?.selector ?? {} }, labels))
    for (const { port, targetPort = port } of service.spec?.ports ?? []) {
      if (targets.some(target => portOf(target, targetPort) === undefined)) {
        faults.push(`${nameOf(service)}: its pods have no port ${targetPort}`)
      }
    }
  }
  for (const monitor of ofKind(manifests, 'PodMonitor')) {
    for (const target of all.filter(({ labels }) => selects(monitor.spec.selector, labels))) {
      for (const { port } of monitor.spec.podMetricsEndpoints ?? []) {
        if (portOf(target, port) === undefined) faults.push(`${nameOf(monitor)}: ${target.title} has no port ${port}`)
      }
    }
  }
  for (const { from, name, port } of backends(manifests)) {
    const service = ofKind(manifests, 'Service').find(({ metadata }) => metadata?.name === name)
    const ports = service?.spec?.ports ?? []
    if (!ports.some(it => it.name === port || it.port === port))
      faults.push(`${from}: no Service ${name} with port ${port}`)
  }
  return faults
}

/** Returns the Services that routes and Ingresses refer to. */
function backends(manifests: readonly Manifest[]) {
  return [
    ...ofKind(manifests, 'Ingress').flatMap(it =>
      (it.spec?.rules ?? [])
        .flatMap(({ http }) => http?.paths ?? [])
        .map(({ backend }) => ({
          from: nameOf(it),
          name: backend.service?.name,
          port: backend.service?.port?.name ?? backend.service?.port?.number,
        })),
    ),
    ...ofKind(manifests, 'HTTPRoute').flatMap(it =>
      (it.spec?.rules ?? []).flatMap(({ backendRefs = [] }) =>
        backendRefs.map(({ name, port }) => ({ from: nameOf(it), name, port })),
      ),
    ),
  ]
}

function referenceFaults(manifests: readonly Manifest[], { title, template, containers }: Workload): string[] {
  const has = (kind: 'ConfigMap' | 'ServiceAccount', name: string | undefined): boolean =>
    ofKind(manifests, kind).some(({ metadata }) => metadata?.name === name)
  const secretKeys = containers
    .flatMap(({ env = [] }) => env)
    .flatMap(({ valueFrom }) => (valueFrom?.secretKeyRef === undefined ? [] : [valueFrom.secretKeyRef]))
  const configMaps = [
    ...containers.flatMap(({ envFrom = [] }) => envFrom.map(({ configMapRef }) => configMapRef?.name)),
    ...(template.spec?.volumes ?? []).flatMap(({ configMap }) => (configMap === undefined ? [] : [configMap.name])),
  ]
  const volumes = template.spec?.volumes ?? []
  const mounted = [
    ...volumes.flatMap(({ secret }) => (secret === undefined ? [] : [{ ...secret, name: secret.secretName }])),
    ...volumes.flatMap(({ projected }) => projected?.sources ?? []).flatMap(({ secret }) => secret ?? []),
  ]
  const account = template.spec?.serviceAccountName
  return [
    ...(has('ServiceAccount', account) ? [] : [`no ServiceAccount ${account}`]),
    ...configMaps.filter(name => !has('ConfigMap', name)).map(name => `no ConfigMap ${name}`),
    ...secretKeys
      .filter(({ name = '', key }) => SECRETS[name]?.includes(key) !== true)
      .map(({ name, key }) => `docs/deployment.md creates no Secret ${name} with ${key}`),
    ...mounted
      .filter(({ optional }) => optional !== true)
      .flatMap(({ name = '', items }) => (items ?? [{ key: undefined }]).map(({ key }) => ({ name, key })))
      .filter(({ name, key }) => SECRETS[name] === undefined || (key !== undefined && !SECRETS[name].includes(key)))
      .map(({ name, key }) => `docs/deployment.md creates no Secret ${name}${key === undefined ? '' : ` with ${key}`}`),
  ].map(fault => `${title}: ${fault}`)
}

function settingFaults(data: Readonly<Record<string, string>>): string[] {
  const known = new Set([...Object.keys(configSchema.shape), ...Object.keys(analyzerSettings.shape)])
  const unknown = Object.keys(data).filter(name => !known.has(name))
  const faults = unknown.map(name => `settings: no service has ${name}`)
  const env = { REDIS_URL: 'redis://redis:6379', ...data }
  try {
    readConfig(configSchema, env)
    readConfig(analyzerSettings, env)
  } catch (error) {
    faults.push(String(error))
  }
  return faults
}

function defaultOf(name: 'PORT' | 'METRICS_PORT'): number {
  return configSchema.shape[name].parse(undefined)
}

function repeated(names: readonly string[]): string[] {
  return names.filter((name, index) => names.indexOf(name) !== index)
}
