import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parse, stringify } from 'yaml'
import { ROOT } from '../lib/project.ts'

const SOURCE = join(ROOT, 'alertmanager', 'alertmanager.yml')
const RULES = join(ROOT, 'prometheus', 'rules')

/** The generated files. */
export const ALERTMANAGER_OUTPUT = join(ROOT, 'k8s', 'components', 'monitoring', 'alertmanager.yaml')
export const RULES_OUTPUT = join(ROOT, 'k8s', 'components', 'monitoring', 'rules.yaml')

const ALERTMANAGER_HEADER = `# Generated from alertmanager/alertmanager.yml by npm run manifests. Do not edit; an overlay configures the receivers.
# The operator restricts every route and every inhibition to alerts of this object's namespace.
`
const RULES_HEADER = `# Generated from prometheus/rules by npm run manifests, because kustomize cannot include one file in another.
# Do not edit. Every expression selects the namespace; npm run manifests -- --namespace NAME sets another one.
`

/** What prometheus/rules have, which are those of compose.yaml. */
const SOURCE_NAMESPACE = 'tidemark'
const SOURCE_RUNBOOK = 'http://localhost:8080/#/runbook?entry='

/** Where a deployment is, and where its operators read the runbook. */
export interface RulesPlace {
  readonly namespace: string
  /** What the name of an alert in lower case is appended to. */
  readonly runbook: string
}

/** The place of the base. The console of every gateway has the runbook. */
export const PLACE_DEFAULT: RulesPlace = {
  namespace: 'highload',
  runbook: 'https://tidemark.example.com/#/runbook?entry=',
}

const labels = { release: 'kube-prometheus-stack' }

interface Route {
  readonly matchers?: readonly string[]
  readonly routes?: readonly Route[]
  readonly [name: string]: unknown
}

interface AlertmanagerFile {
  readonly route: Route
  readonly receivers: unknown
  readonly inhibit_rules: readonly Readonly<
    Record<'source_matchers' | 'target_matchers' | 'equal', readonly string[]>
  >[]
}

/** Returns each file of prometheus/rules as an object of the Prometheus Operator. */
export function renderPrometheusRules({ namespace, runbook } = PLACE_DEFAULT): string {
  const placed = (text: string): string =>
    text
      .replaceAll(`namespace="${SOURCE_NAMESPACE}"`, `namespace="${namespace}"`)
      .replaceAll(`namespace: ${SOURCE_NAMESPACE}\n`, `namespace: ${namespace}\n`)
      .replaceAll(SOURCE_RUNBOOK, () => runbook)
  const files = readdirSync(RULES).filter(name => name.endsWith('.yaml'))
  const objects = files.sort().map(file => ({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: `tidemark-${basename(file, '.yaml')}`, labels },
    spec: parse(placed(readFileSync(join(RULES, file), 'utf8'))) as unknown,
  }))
  return RULES_HEADER + objects.map(object => stringify(object, { lineWidth: 0 })).join('---\n')
}

/** Returns Alertmanager's configuration as an object of the Prometheus Operator. */
export function renderAlertmanagerConfig(text = readFileSync(SOURCE, 'utf8')): string {
  const { route, receivers, inhibit_rules } = parse(text) as AlertmanagerFile
  const inhibitRules = inhibit_rules.map(({ source_matchers, target_matchers, equal }) => {
    return { sourceMatch: source_matchers.map(toMatcher), targetMatch: target_matchers.map(toMatcher), equal }
  })
  const object = {
    apiVersion: 'monitoring.coreos.com/v1alpha1',
    kind: 'AlertmanagerConfig',
    metadata: { name: 'tidemark', labels },
    spec: { route: toRoute(route), receivers, inhibitRules },
  }
  return ALERTMANAGER_HEADER + stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })
}

function toRoute(route: Route): object {
  const { receiver, group_by: groupBy, group_wait: groupWait, repeat_interval: repeatInterval } = route
  const { group_interval: groupInterval, matchers, routes } = route
  const nested = { matchers: matchers?.map(toMatcher), routes: routes?.map(toRoute) }
  return { receiver, groupBy, groupWait, groupInterval, repeatInterval, ...nested }
}

function toMatcher(text: string): { name: string; matchType: string; value: string } {
  const [, name, matchType, value] = /^(\w+)(=~|!~|!=|=)"([^"\\]*)"$/.exec(text) ?? []
  if (name === undefined || matchType === undefined || value === undefined) throw new Error(`not a matcher: ${text}`)
  return { name, matchType, value }
}
