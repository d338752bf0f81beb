import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'yaml'

const RULES = new URL('../../prometheus/rules/', import.meta.url)

/** The generated file. */
export const OUTPUT = fileURLToPath(new URL('../../k8s/components/monitoring/rules.yaml', import.meta.url))

const HEADER = `# Generated from prometheus/rules by npm run manifests, because kustomize cannot include one file in another.
# Do not edit.
`

/** Returns each file of prometheus/rules as an object of the Prometheus Operator. */
export function renderPrometheusRules(): string {
  const files = readdirSync(RULES).filter(name => name.endsWith('.yaml'))
  const objects = files.sort().map(file => ({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: `tidemark-${basename(file, '.yaml')}`, labels: { release: 'kube-prometheus-stack' } },
    spec: parse(readFileSync(new URL(file, RULES), 'utf8')) as unknown,
  }))
  return HEADER + objects.map(object => stringify(object, { lineWidth: 0 })).join('---\n')
}
