import { join } from 'node:path'
import { stringify } from 'yaml'
import { ROOT } from '../lib/project.ts'
import { build, buildWith, type Manifest } from './kustomize.ts'

export const CHART = join(ROOT, 'charts', 'tidemark')

/** Components that the chart has, by the value that switches each on. */
export const COMPONENTS = {
  ingress: 'ingress',
  'gateway-api': 'gatewayApi',
  'entry-by-address': 'entryByAddress',
  keda: 'keda',
  monitoring: 'monitoring',
  notifications: 'notifications',
  tracing: 'tracing',
} as const

type Component = keyof typeof COMPONENTS

const COMMENT =
  '# Generated from k8s/ by npm run manifests, with the values in place of what they replace. Do not edit.\n'

type Path = readonly (string | number)[]

/** A place in an object that a value of the chart replaces. */
interface Substitution {
  readonly kind: string
  readonly name: string
  readonly path: Path
  /** The value, as `gateway.resources`. It has the form that the object has there. */
  readonly value: string
  /** The template, if it is not the value as it is. `DEFAULT` stands for what k8s/ has there. */
  readonly template?: string
}

const POD: Path = ['spec', 'template', 'spec']
const CONTAINER: Path = [...POD, 'containers', 0]

function of(kind: string, name: string, places: readonly (readonly [path: Path, value: string, template?: string])[]) {
  return places.map(([path, value, template]) => ({
    ...{ kind, name, path, value },
    ...(template !== undefined && { template }),
  }))
}

const image = (value: string): string => `{{ include "tidemark.image" (list .Values.${value} .Chart.AppVersion) }}`

function service(name: 'gateway' | 'analyzer'): Substitution[] {
  return [
    ...of('Deployment', name, [
      [[...CONTAINER, 'image'], `${name}.image`, image(`${name}.image`)],
      [[...CONTAINER, 'resources'], `${name}.resources`],
    ]),
    ...of('HorizontalPodAutoscaler', name, [
      [['spec', 'minReplicas'], `${name}.autoscaling.minReplicas`],
      [['spec', 'maxReplicas'], `${name}.autoscaling.maxReplicas`],
      [['spec', 'metrics', 0, 'resource', 'target', 'averageUtilization'], `${name}.autoscaling.cpuUtilization`],
      [['spec', 'behavior'], `${name}.autoscaling.behavior`],
    ]),
  ]
}

export const SUBSTITUTIONS: readonly Substitution[] = [
  ...service('gateway'),
  ...service('analyzer'),
  ...of('StatefulSet', 'redis', [
    [[...CONTAINER, 'image'], 'redis.image'],
    [[...CONTAINER, 'resources'], 'redis.resources'],
    [[...CONTAINER, 'args', 14], 'redis.maxmemory'],
    [['spec', 'volumeClaimTemplates', 0, 'spec', 'resources', 'requests', 'storage'], 'redis.storage'],
  ]),
  ...of('NetworkPolicy', 'redis-clients', [[['spec', 'egress', 0], 'redis.egress']]),
  ...of('NetworkPolicy', 'gateway', [[['spec', 'ingress'], 'gateway.networkPolicyIngress']]),
  ...of('Ingress', 'gateway', [[['spec', 'rules', 0, 'host'], 'ingress.host']]),
  ...of('HTTPRoute', 'gateway', [
    [['spec', 'hostnames'], 'gatewayApi.hostnames'],
    [['spec', 'parentRefs'], 'gatewayApi.parentRefs'],
  ]),
  ...of('NetworkPolicy', 'entry-by-address', [[['spec', 'ingress', 0, 'from'], 'entryByAddress.from']]),
  ...of('ScaledObject', 'analyzer', [
    [['spec', 'minReplicaCount'], 'analyzer.autoscaling.minReplicas'],
    [['spec', 'maxReplicaCount'], 'analyzer.autoscaling.maxReplicas'],
    [['spec', 'triggers', 1, 'metadata', 'serverAddress'], 'keda.prometheus'],
    [['spec', 'triggers', 2, 'metadata', 'serverAddress'], 'keda.prometheus'],
    [
      ['spec', 'triggers', 1, 'metadata', 'query'],
      '',
      'max(analyzer_oldest_sample_age_seconds{namespace="{{ .Release.Namespace }}"})',
    ],
    [
      ['spec', 'triggers', 2, 'metadata', 'query'],
      '',
      'sum(analyzer_backlog_samples{namespace="{{ .Release.Namespace }}"})',
    ],
  ]),
  ...of('Deployment', 'canary', [
    [[...CONTAINER, 'image'], 'gateway.image', image('gateway.image')],
    [[...CONTAINER, 'env', 0, 'value'], 'monitoring.canary.url'],
    [[...CONTAINER, 'resources'], 'monitoring.canary.resources'],
  ]),
  ...of('Deployment', 'redis-exporter', [
    [[...CONTAINER, 'image'], 'monitoring.redisExporter.image'],
    [[...CONTAINER, 'resources'], 'monitoring.redisExporter.resources'],
  ]),
  ...of('NetworkPolicy', 'metrics', [[['spec', 'ingress', 0, 'from'], 'monitoring.prometheus']]),
  ...of('PodMonitor', 'tidemark', [[['metadata', 'labels', 'release'], 'monitoring.release']]),
  ...of('AlertmanagerConfig', 'tidemark', [
    [['metadata', 'labels', 'release'], 'monitoring.release'],
    [['spec', 'receivers'], 'monitoring.receivers'],
  ]),
]

/** What is written by hand, because its content comes from files of the chart. */
const BY_HAND = ['PrometheusRule', 'ConfigMap', 'Namespace']

/** Returns the templates by the names of their files. */
export function renderChart(): Map<string, string> {
  const base = build('base')
  const external = new Set(buildWith(['external-redis']).map(keyOf))
  const files = new Map<string, string[]>()
  const add = (file: string, text: string): void => void files.set(file, [...(files.get(file) ?? []), text])
  const kept = new Set(buildWith(['keda']).map(keyOf))
  for (const manifest of base.filter(({ kind }) => !BY_HAND.includes(kind))) {
    const conditions = [
      ...(external.has(keyOf(manifest)) ? [] : ['.Values.redis.enabled']),
      ...(kept.has(keyOf(manifest)) ? [] : ['not .Values.keda.enabled']),
      ...(manifest.kind === 'PriorityClass' ? ['.Values.priorityClasses.create'] : []),
    ]
    add(fileOf(manifest), template(manifest, conditions[0]))
  }
  const known = new Set(base.map(keyOf))
  for (const [component, value] of Object.entries(COMPONENTS) as [Component, string][]) {
    const own = buildWith([component]).filter(
      manifest => !known.has(keyOf(manifest)) && !BY_HAND.includes(manifest.kind),
    )
    for (const manifest of own) add(`${component}.yaml`, template(manifest, `.Values.${value}.enabled`))
  }
  return new Map([...files].map(([file, texts]) => [file, COMMENT + texts.join('')]))
}

/** Returns the value at a path; undefined if there is none. */
export function valueAt(from: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, part) => (at as Record<string | number, unknown> | undefined)?.[part], from)
}

/** Returns the substitutions of an object. */
export function substitutionsOf({ kind, metadata }: Manifest): Substitution[] {
  return SUBSTITUTIONS.filter(it => it.kind === kind && it.name === metadata.name)
}

function keyOf({ kind, metadata }: Manifest): string {
  return `${kind} ${metadata.name}`
}

function fileOf({ kind, metadata: { name } }: Manifest): string {
  if (kind === 'PriorityClass') return 'priority.yaml'
  return ['gateway', 'analyzer', 'redis'].includes(name) ? `${name}.yaml` : 'network.yaml'
}

/** Returns an object as a template, for which a condition holds. */
function template(manifest: Manifest, condition: string | undefined): string {
  const copy = structuredClone(manifest) as Manifest & { metadata: { namespace?: string } }
  const pieces = new Map<string, (indent: number) => string>()
  const replace = (path: Path, piece: (indent: number) => string): void => {
    const parent = valueAt(copy, path.slice(0, -1)) as Record<string | number, unknown> | undefined
    const last = path.at(-1) as string | number
    if (parent?.[last] === undefined) throw new Error(`${keyOf(manifest)} has nothing at ${path.join('.')}`)
    const token = `__${pieces.size}__`
    pieces.set(token, piece)
    parent[last] = token
  }
  for (const { path, value, template: given } of substitutionsOf(manifest)) {
    const isBlock = typeof valueAt(manifest, path) === 'object'
    const isText = typeof valueAt(manifest, path) === 'string'
    const whole = isBlock ? `toYaml .Values.${value} | nindent INDENT` : `.Values.${value}${isText ? ' | quote' : ''}`
    const text = given ?? `{{${isBlock ? '-' : ''} ${whole} }}`
    replace(path, indent => text.replace('INDENT', String(indent)))
  }
  // A change of the settings must roll out new pods. kustomize has a hash in the name instead.
  const settings: Path = [...CONTAINER, 'envFrom', 0, 'configMapRef', 'name']
  if (String(valueAt(copy, settings)).startsWith('settings-')) {
    replace(settings, () => 'settings')
    const pod = valueAt(copy, ['spec', 'template', 'metadata']) as { annotations?: Record<string, string> }
    pod.annotations = { 'checksum/settings': '' }
    const checksum = '{{ include (print $.Template.BasePath "/settings.yaml") . | sha256sum }}'
    replace(['spec', 'template', 'metadata', 'annotations', 'checksum/settings'], () => checksum)
  }
  if (copy.metadata.namespace !== undefined) replace(['metadata', 'namespace'], () => '{{ .Release.Namespace }}')
  const extra = ADDITIONS[keyOf(manifest)]
  // Helm reads YAML 1.1, in which yes is a boolean.
  const lines = stringify(copy, { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false })
    .replace(/'__(\d+)__'|"__(\d+)__"/g, '__$1$2__')
    .split('\n')
    .flatMap(line => {
      const token = /__\d+__/.exec(line)?.[0]
      const indent = /^ */.exec(line)?.[0].length ?? 0
      const text = token === undefined ? line : line.replace(token, pieces.get(token)?.(indent + 2) ?? '')
      return [text, ...(extra?.after === text.trim() ? [extra.lines] : [])]
    })
  const body = `---\n${lines.join('\n')}`
  return condition === undefined ? body : `{{- if ${condition} }}\n${body}{{- end }}\n`
}

/** Lines that values add to an object, after the first line with this text. */
const ADDITIONS: Readonly<Record<string, { readonly after: string; readonly lines: string }>> = {
  'Deployment gateway': { after: 'value: gateway', lines: extraEnv('gateway') },
  'Deployment analyzer': { after: 'value: analyzer', lines: extraEnv('analyzer') },
  'StatefulSet redis': {
    after: '- ReadWriteOnce',
    lines: `        {{- with .Values.redis.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}`,
  },
  'Ingress gateway': {
    after: 'spec:',
    lines: `  {{- with .Values.ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with .Values.ingress.tls }}
  tls:
    {{- toYaml . | nindent 4 }}
  {{- end }}`,
  },
}

function extraEnv(service: string): string {
  return `            {{- with .Values.${service}.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}`
}
