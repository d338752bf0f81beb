import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import { build, buildWith, K8S } from '@tidemark/tools/manifests/kustomize'
import { beforeAll, describe, expect, test } from 'vitest'
import { canBuild, foldersOf } from './build.ts'
import { ofKind } from './manifest.ts'
import { CLOSINGS, container, MUTATIONS, OPENINGS, one } from './mutations.ts'
import { reachable } from './network.ts'
import { podPolicies } from './pods.ts'
import type { Policy } from './policy.ts'
import { publishedPolicies } from './published.ts'
import { scalingPolicies } from './scaling.ts'
import { schemaFaults, unknownFields } from './schema.ts'
import { wiringPolicies } from './wiring.ts'

const POLICIES: readonly Policy[] = [...podPolicies, ...wiringPolicies, ...scalingPolicies, ...publishedPolicies]

/** What a component changes must be there. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  'gateway-listeners': ['gateway-api'],
  'ingress-tls': ['ingress'],
  'redis-cluster': ['external-redis', 'monitoring'],
}

/** Everything that can be built. Folders are listed, so that new ones are tested too. */
const BUILDS: ReadonlyMap<string, () => Manifest[]> = new Map([
  ['base', () => build('base')],
  ...foldersOf('overlays').map(name => [`overlay ${name}`, () => build(`overlays/${name}`)] as const),
  ...foldersOf('components').map(
    name => [`component ${name}`, () => buildWith([...(NEEDED[name] ?? []), name])] as const,
  ),
  ['all components', () => buildWith(foldersOf('components'))],
])

/** By https, wherever clients send their samples. */
const CANARY_OUT = ['another pod of kube-system', 'internet', 'load balancer', 'proxy'].map(
  name => `canary -> ${name}:443`,
)

/** The allowed connections, in addition to those of every build. */
const LINKS = {
  base: ['proxy -> gateway:8080', 'gateway -> dns:53', 'analyzer -> dns:53'],
  ownRedis: ['gateway -> redis:6379', 'analyzer -> redis:6379'],
  outsideRedis: ['gateway -> outside Redis:6379', 'analyzer -> outside Redis:6379'],
  monitoring: [
    ...['prometheus -> gateway:9464', 'prometheus -> analyzer:9464', 'prometheus -> redis-exporter:9121'],
    ...['prometheus -> canary:9464', 'canary -> gateway:8080', 'canary -> dns:53', ...CANARY_OUT],
  ],
  byAddress: ['load balancer -> gateway:8080'],
  exporter: ['redis-exporter -> dns:53', 'redis-exporter -> redis:6379'],
  exporterOutside: ['redis-exporter -> dns:53', 'redis-exporter -> outside Redis:6379'],
  tracing: ['gateway -> collector:4318', 'analyzer -> collector:4318'],
  sink: ['analyzer -> prometheus:9090'],
  notifications: ['analyzer -> alertmanager:9093'],
  mqtt: ['mqtt -> gateway:8080', 'mqtt -> dns:53', 'mqtt -> broker:1883', 'mqtt -> broker:8883'],
  loadTest: ['load-test -> gateway:8080', 'load-test -> dns:53'],
}

/** The other fields of the spec of a StatefulSet are fixed when it is created. */
const STATEFUL_SET_CHANGEABLE: ReadonlySet<string> = new Set([
  ...['replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'minReadySeconds'],
  'persistentVolumeClaimRetentionPolicy',
])

describe.skipIf(!canBuild())('the manifests', () => {
  const built = new Map<string, readonly Manifest[]>()
  let unknown: ReadonlyMap<string, readonly string[]> = new Map()

  beforeAll(() => {
    for (const [name, make] of BUILDS) built.set(name, make())
    unknown = unknownFields(built)
  })

  describe.each([...BUILDS.keys()])('%s', name => {
    const manifests = (): readonly Manifest[] => built.get(name) ?? []

    test('conforms to the schemas', async () => {
      expect(await schemaFaults(manifests())).toEqual([])
    })

    test('has no field that is not in the schemas', () => {
      expect(unknown.get(name)).toEqual([])
    })

    test.each(POLICIES)('$title', ({ faults }) => {
      expect(faults(manifests())).toEqual([])
    })

    test('allows exactly the required connections', () => {
      expect(reachable(manifests())).toEqual(linksOf(name).toSorted())
    })
  })

  test('the local overlay uses the host streaming.local', () => {
    const [ingress] = ofKind(built.get('overlay local') ?? [], 'Ingress')
    expect(ingress?.spec?.rules?.[0]?.host).toBe('streaming.local')
  })

  // Otherwise an upgrade over 0.1.0 is refused, as "updates to statefulset spec ... are forbidden".
  test.each([
    ['base', '8Gi'],
    ['overlay local', '1Gi'],
  ])('%s keeps the fields of 0.1.0 that Kubernetes does not let change', (name, storage) => {
    const manifests = built.get(name) ?? []
    const [redis] = ofKind(manifests, 'StatefulSet')
    const fixed = Object.entries(redis?.spec ?? {}).filter(([field]) => !STATEFUL_SET_CHANGEABLE.has(field))
    expect(Object.fromEntries(fixed)).toEqual({
      serviceName: 'redis',
      selector: { matchLabels: { 'app.kubernetes.io/name': 'redis' } },
      volumeClaimTemplates: [
        {
          metadata: { name: 'data', labels: { 'app.kubernetes.io/part-of': 'tidemark' } },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
        },
      ],
    })
    for (const { metadata, spec } of ofKind(manifests, 'Deployment')) {
      expect(spec?.selector).toEqual({ matchLabels: { 'app.kubernetes.io/name': metadata?.name } })
    }
  })

  test('two to five gateways scale at 70 % of CPU', () => {
    const all = ofKind(built.get('base') ?? [], 'HorizontalPodAutoscaler')
    const gateway = all.find(({ metadata }) => metadata?.name === 'gateway')
    expect(gateway?.spec).toMatchObject({
      minReplicas: 2,
      maxReplicas: 5,
      metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } } },
      ],
    })
  })

  test('an Ingress has no annotations of one vendor', () => {
    for (const { metadata } of ofKind(built.get('component ingress') ?? [], 'Ingress')) {
      expect(metadata?.annotations ?? {}).toEqual({})
    }
  })

  test.each([
    ['load-test', 'load-test', 'locust', /^(?!draw).*\.py$/],
    ['monitoring', 'grafana-dashboards', 'grafana/dashboards', /\.json$/],
  ])('component %s has all of its files', (component, name, folder, pattern) => {
    const maps = ofKind(built.get(`component ${component}`) ?? [], 'ConfigMap')
    const map = maps.find(({ metadata }) => metadata?.name?.startsWith(name))
    const files = readdirSync(join(K8S, '..', folder)).filter(file => pattern.test(file))
    expect(Object.keys(map?.data ?? {})).toEqual(files.toSorted())
  })

  test('alerts have receivers, and in production the address of each is in a Secret', () => {
    for (const [name, manifests] of built) {
      for (const { spec } of ofKind(manifests, 'AlertmanagerConfig')) {
        const receivers = spec?.receivers ?? []
        const names = receivers.map(receiver => receiver.name)
        expect(routesOf(spec?.route).filter(receiver => !names.includes(receiver))).toEqual([])
        if (name !== 'overlay production') continue
        for (const { webhookConfigs = [] } of receivers) {
          expect(webhookConfigs).toEqual([{ urlSecret: { name: 'tidemark-receivers', key: expect.any(String) } }])
        }
      }
    }
    expect(ofKind(built.get('overlay production') ?? [], 'AlertmanagerConfig')).toHaveLength(1)
  })

  test('an external Redis replaces the internal one', () => {
    for (const name of ['overlay production', 'component external-redis']) {
      expect((built.get(name) ?? []).filter(({ metadata }) => metadata.name === 'redis')).toEqual([])
    }
  })

  describe('a fault is found if', () => {
    const broken = (change: (manifests: readonly Manifest[]) => void, from = 'base'): readonly Manifest[] => {
      const copy = structuredClone(built.get(from) ?? [])
      change(copy)
      return copy
    }

    test.each(MUTATIONS)('$what', ({ change, from = 'base', expected }) => {
      const manifests = broken(change, from)
      expect(POLICIES.flatMap(({ faults }) => faults(manifests)).join('\n')).toMatch(expected)
    })

    test.each(OPENINGS)('$what', ({ change, link }) => {
      expect(reachable(broken(change))).toContain(link)
    })

    test.each(CLOSINGS)('$what', ({ change, link }) => {
      expect(reachable(broken(change))).not.toContain(link)
    })

    test('a field has a wrong type', async () => {
      const manifests = broken(all => Object.assign(one(all, 'HorizontalPodAutoscaler').spec, { maxReplicas: 'five' }))
      expect((await schemaFaults(manifests)).join()).toMatch(/maxReplicas must be integer/)
    })

    test('a field is misspelled', () => {
      const manifests = broken(all => Object.assign(container(all, 'gateway'), { livenesProbe: {} }))
      expect(
        unknownFields(new Map([['broken', manifests]]))
          .get('broken')
          ?.join(),
      ).toMatch(/Deployment gateway.*livenesProbe/)
    })

    test('a field of a receiver is misspelled', () => {
      const manifests = broken(
        all => Object.assign(one(all, 'AlertmanagerConfig').spec?.receivers?.[0] ?? {}, { webhooks: [] }),
        'component monitoring',
      )
      const faults = unknownFields(new Map([['broken', manifests]])).get('broken')
      expect(faults?.join()).toMatch(/AlertmanagerConfig tidemark.*webhooks/)
    })

    test('a kind does not exist in its API', async () => {
      const manifests = broken(all => Object.assign(all[0] ?? {}, { kind: 'Namespaces' }))
      expect((await schemaFaults(manifests)).join()).toMatch(/v1 has no such kind/)
    })
  })
})

/** Returns every receiver that a route names. */
function routesOf(route: unknown): string[] {
  const { receiver, routes = [] } = (route ?? {}) as { receiver?: string; routes?: unknown[] }
  return [...(receiver === undefined ? [] : [receiver]), ...routes.flatMap(routesOf)]
}

function linksOf(build: string): string[] {
  const { base, ownRedis, outsideRedis, monitoring, exporter, exporterOutside } = LINKS
  const { notifications, loadTest, tracing, sink, mqtt, byAddress } = LINKS
  switch (build) {
    case 'component external-redis':
      return [...base, ...outsideRedis]
    case 'component redis-cluster':
      return [...base, ...outsideRedis, ...monitoring, ...exporterOutside]
    case 'component monitoring':
      return [...base, ...ownRedis, ...monitoring, ...exporter]
    case 'component entry-by-address':
      return [...base, ...ownRedis, ...byAddress]
    case 'component notifications':
      return [...base, ...ownRedis, ...notifications]
    case 'component load-test':
      return [...base, ...ownRedis, ...loadTest]
    case 'component mqtt':
      return [...base, ...ownRedis, ...mqtt]
    case 'component sink':
      return [...base, ...ownRedis, ...sink]
    case 'component tracing':
      return [...base, ...ownRedis, ...tracing]
    case 'all components':
      return [
        ...[...base, ...outsideRedis, ...monitoring, ...exporterOutside, ...byAddress],
        ...[...notifications, ...loadTest, ...tracing, ...sink, ...mqtt, 'prometheus -> mqtt:9464'],
      ]
    case 'overlay production': {
      const redis = [...outsideRedis, ...exporterOutside]
      const tls = redis.filter(link => link.endsWith(':6379')).map(link => link.replace(':6379', ':6380'))
      return [...base, ...monitoring, ...notifications, ...redis, ...tls]
    }
    default:
      return [...base, ...ownRedis]
  }
}
