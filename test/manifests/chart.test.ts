import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import {
  CHART,
  COMPONENTS,
  renderChart,
  SUBSTITUTIONS,
  substitutionsOf,
  valueAt,
} from '@tidemark/tools/manifests/chart'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import { build, buildWith } from '@tidemark/tools/manifests/kustomize'
import { PLACE_DEFAULT } from '@tidemark/tools/manifests/operator-objects'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { readText } from '../monitoring/rules.ts'
import { canBuild } from './build.ts'
import { ofKind } from './manifest.ts'

const HAND_WRITTEN = ['NOTES.txt', '_helpers.tpl', 'rules.yaml', 'settings.yaml']

const values = parse(readText('charts/tidemark/values.yaml'))
const chart = parse(readText('charts/tidemark/Chart.yaml'))
const at = (name: string): unknown => valueAt(values, name.split('.'))

const helm = process.env.HELM ?? 'helm'
const hasHelm = spawnSync(helm, ['version']).status === 0
if (!hasHelm) {
  process.stderr.write('SKIPPED: helm renders the chart only where it is installed (on PATH, or as HELM)\n')
}

describe.skipIf(!canBuild())('the Helm chart', () => {
  test('has the templates that k8s/ makes (npm run manifests updates them)', () => {
    const rendered = renderChart()
    expect(readdirSync(`${CHART}/templates`).toSorted()).toEqual([...HAND_WRITTEN, ...rendered.keys()].toSorted())
    for (const [file, text] of rendered)
      expect([file, readText(`charts/tidemark/templates/${file}`)]).toEqual([file, text])
  })

  test('has the values of k8s/ as defaults', () => {
    const objects = [...build('base'), ...Object.keys(COMPONENTS).flatMap(component => buildWith([component]))]
    const compared = new Set<string>()
    for (const object of objects) {
      for (const { path, value } of substitutionsOf(object)) {
        if (value === '') continue
        compared.add(value)
        const found = valueAt(object, path)
        expect([value, found]).toEqual([value, value.endsWith('age') && isOwnImage(value) ? imageOf(value) : at(value)])
      }
    }
    expect([...compared].toSorted()).toEqual([...new Set(SUBSTITUTIONS.flatMap(({ value }) => value || []))].toSorted())
    const settings = ofKind(build('base'), 'ConfigMap').find(({ metadata }) => metadata?.name?.startsWith('settings-'))
    expect(values.settings).toEqual(settings?.data)
    expect(values.monitoring.runbookUrl).toBe(PLACE_DEFAULT.runbook)
  })

  const isOwnImage = (value: string): boolean => value === 'gateway.image' || value === 'analyzer.image'
  const imageOf = (value: string): string => `${(at(value) as { repository: string }).repository}:${chart.appVersion}`
})

describe('the values of the chart', () => {
  const leaves = leavesOf(values)

  test('each has a row in the README, and no other row is there', () => {
    const rows = [...readText('charts/tidemark/README.md').matchAll(/^\| `([\w.]+)` \|/gm)].map(([, name]) => name)
    expect(rows.toSorted()).toEqual(leaves.toSorted())
  })

  test('each is in the schema, which has no others', () => {
    const schema = JSON.parse(readText('charts/tidemark/values.schema.json'))
    expect(schemaLeaves(schema).toSorted()).toEqual(leaves.toSorted())
  })
})

/** Values that are given as a whole: maps and lists in the form of Kubernetes. */
const WHOLE = /^settings$|\.(resources|behavior|egress|image)$/

function leavesOf(from: Readonly<Record<string, unknown>>, prefix = ''): string[] {
  return Object.entries(from).flatMap(([name, value]) => {
    const path = prefix + name
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isMap && !WHOLE.test(path) ? leavesOf(value as Record<string, unknown>, `${path}.`) : [path]
  })
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>
}

function schemaLeaves({ properties = {} }: Schema, prefix = ''): string[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const path = prefix + name
    return schema.properties !== undefined && !WHOLE.test(path) ? schemaLeaves(schema, `${path}.`) : [path]
  })
}

/** Values, and the components that make the same. */
const VARIANTS: readonly (readonly [what: string, components: readonly string[], values: object])[] = [
  ['the defaults', [], {}],
  ...Object.entries(COMPONENTS)
    .filter(([component]) => !['notifications', 'tracing'].includes(component))
    .map(([component, value]) => [component, [component], { [value]: { enabled: true } }] as const),
  [
    'an external Redis',
    ['external-redis'],
    {
      redis: {
        enabled: false,
        egress: {
          to: [{ ipBlock: { cidr: '10.0.0.0/8' } }, { ipBlock: { cidr: 'fc00::/7' } }],
          ports: [{ port: 6379 }],
        },
      },
    },
  ],
  [
    'notifications and tracing',
    ['notifications', 'tracing'],
    {
      notifications: { enabled: true },
      tracing: { enabled: true },
      settings: {
        ALERTMANAGER_URLS: 'http://alertmanager-operated.monitoring:9093',
        ALERT_LABELS: 'namespace=highload',
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://opentelemetry-collector.monitoring:4318',
        OTEL_TRACES_SAMPLER_ARG: '0.01',
      },
      analyzer: {
        extraEnv: ['WEBHOOK_URLS', 'WEBHOOK_SECRET'].map(key => ({
          name: key,
          valueFrom: { secretKeyRef: { name: 'tidemark-notifications', key, optional: true } },
        })),
      },
    },
  ],
  [
    'TLS of the Ingress',
    ['ingress', 'ingress-tls'],
    {
      ingress: { enabled: true, tls: [{ hosts: ['tidemark.example.com'], secretName: 'tidemark-tls' }] },
    },
  ],
]

describe.skipIf(!hasHelm || !canBuild())('helm', () => {
  function render(given: object, namespace = 'highload'): Manifest[] {
    const args = ['template', 'tidemark', CHART, '--namespace', namespace, '--kube-version', '1.32.0', '--values', '-']
    const text = execFileSync(helm, args, {
      input: stringify(given),
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    // As Helm and Kubernetes read it: `yes` without quotes is a boolean.
    return parseAllDocuments(text, { version: '1.1' }).flatMap(document => (document.toJS() as Manifest | null) ?? [])
  }

  test.each(VARIANTS)('renders what kustomize builds, object by object: %s', (_, components, given) => {
    const expected = buildWith(components).filter(({ kind }) => kind !== 'Namespace')
    expect(normalized(render(given))).toEqual(normalized(expected))
  })

  test('renders images by digest, and everything for the namespace of the release', () => {
    const objects = render(
      {
        gateway: { image: { repository: 'registry.example.com/gateway', digest: 'sha256:abc' } },
        monitoring: { enabled: true },
      },
      'metrics',
    )
    expect(JSON.stringify(objects)).toContain('"registry.example.com/gateway@sha256:abc"')
    const rest = JSON.stringify(objects).replaceAll(/namespace=\\"metrics\\"|"namespace":"metrics"/g, '')
    expect(rest).not.toMatch(/highload|namespace=\\"tidemark\\"/)
  })

  test.each([
    [{ gateway: { autoscaling: { minReplica: 3 } } }, /minReplica/],
    [{ settings: { PARTITIONS: [] } }, /PARTITIONS/],
    [{ monitorin: {} }, /monitorin/],
  ])('refuses values that the schema does not have: %j', (given, message) => {
    expect(() => render(given)).toThrow(message)
  })
})

/** Returns objects by name, without kustomize's hash and Helm's checksum of the settings. */
function normalized(manifests: readonly Manifest[]): Record<string, unknown> {
  const text = JSON.stringify(manifests).replaceAll(/"settings-[a-z0-9]{10}"/g, '"settings"')
  const objects = JSON.parse(text) as (Manifest & { spec?: { template?: { metadata?: { annotations?: object } } } })[]
  for (const { spec } of objects) delete spec?.template?.metadata?.annotations
  return Object.fromEntries(
    objects
      .map(object => [`${object.kind} ${object.metadata.name}`, object] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )
}
