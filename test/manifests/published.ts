import { gatewaySchema } from '@tidemark/gateway/config'
import { startGateway } from '@tidemark/gateway/gateway'
import { readConfig } from '@tidemark/shared/runtime/config'
import { createLogger } from '@tidemark/shared/runtime/logger'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import type { Manifest } from '@tidemark/tools/manifests/kustomize'
import { Registry } from 'prom-client'
import { nameOf, ofKind } from './manifest.ts'
import type { Policy } from './policy.ts'

/** Routes for the cluster only: Prometheus and the probes use the port of operations. */
const INTERNAL = ['/metrics', '/livez', '/readyz']

/** Every path of the gateway, as a client would write it: `/rules/x`. */
const paths = await readPaths()

async function readPaths(): Promise<string[]> {
  await using gateway = await startGateway({
    config: readConfig(gatewaySchema, { HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0' }),
    openStore: async () => createMemoryStore(),
    log: createLogger('gateway', 'silent'),
    registry: new Registry(),
  })
  const response = await fetch(`http://127.0.0.1:${gateway.port}/openapi.json`)
  const document = (await response.json()) as { readonly paths: object }
  return Object.keys(document.paths).map(path => path.replaceAll(/\{\w+\}/g, 'x'))
}

interface Rule {
  readonly type: string | undefined
  readonly value: string | undefined
}

/** Returns the path rules of each object that publishes the gateway. */
function publishers(manifests: readonly Manifest[]): { readonly title: string; readonly rules: readonly Rule[] }[] {
  const ingresses = ofKind(manifests, 'Ingress').map(it => ({
    title: nameOf(it),
    rules: (it.spec?.rules ?? []).flatMap(({ http }) =>
      // Without paths a rule matches all of them.
      (http?.paths ?? [{ path: '/', pathType: 'Prefix' }]).map(({ path, pathType: type }) => ({ type, value: path })),
    ),
    everything: it.spec?.defaultBackend !== undefined,
  }))
  const routes = ofKind(manifests, 'HTTPRoute').map(it => ({
    title: nameOf(it),
    rules: (it.spec?.rules ?? []).flatMap(({ matches = [{}] }) =>
      matches.map(({ path }) => ({ type: path?.type ?? 'PathPrefix', value: path?.value ?? '/' })),
    ),
    everything: false,
  }))
  return [...ingresses, ...routes].map(({ title, rules, everything }) => ({
    title,
    rules: everything ? [...rules, { type: 'Prefix', value: '/' }] : rules,
  }))
}

/** Whether a rule matches a path, by whole segments. Types that vendors define match everything. */
function matches({ type, value = '/' }: Rule, path: string): boolean {
  if (type === 'Exact') return path === value
  if (type !== 'Prefix' && type !== 'PathPrefix') return true
  const prefix = value.replace(/\/$/, '')
  return path === prefix || path.startsWith(`${prefix}/`)
}

export const publishedPolicies: readonly Policy[] = [
  {
    title: 'every route of the API is published by name, and no other path',
    faults: manifests =>
      publishers(manifests).flatMap(({ title, rules }) => [
        ...paths
          .filter(path => !INTERNAL.includes(path) && !rules.some(rule => matches(rule, path)))
          .map(path => `${title}: ${path} is not published`),
        ...[...INTERNAL, '/unknown']
          .filter(path => rules.some(rule => matches(rule, path)))
          .map(path => `${title}: ${path} is published`),
      ]),
  },
]
