import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'yaml'

const SOURCE = new URL('../../alertmanager/alertmanager.yml', import.meta.url)

/** The generated file. */
export const ALERTMANAGER_OUTPUT = fileURLToPath(
  new URL('../../k8s/components/monitoring/alertmanager.yaml', import.meta.url),
)

const HEADER = `# Generated from alertmanager/alertmanager.yml by npm run manifests. Do not edit; an overlay configures the receivers.
# The operator restricts every route and every inhibition to alerts of this object's namespace.
`

interface Route {
  readonly receiver: string
  readonly group_by?: readonly string[]
  readonly group_wait?: string
  readonly group_interval?: string
  readonly repeat_interval?: string
  readonly matchers?: readonly string[]
  readonly routes?: readonly Route[]
}

interface AlertmanagerFile {
  readonly route: Route
  readonly receivers: readonly { readonly name: string }[]
  readonly inhibit_rules: readonly {
    readonly source_matchers: readonly string[]
    readonly target_matchers: readonly string[]
    readonly equal: readonly string[]
  }[]
}

/** Returns Alertmanager's configuration as an object of the Prometheus Operator. */
export function renderAlertmanagerConfig(text = readFileSync(SOURCE, 'utf8')): string {
  const { route, receivers, inhibit_rules } = parse(text) as AlertmanagerFile
  const object = {
    apiVersion: 'monitoring.coreos.com/v1alpha1',
    kind: 'AlertmanagerConfig',
    metadata: { name: 'tidemark', labels: { release: 'kube-prometheus-stack' } },
    spec: {
      route: toRoute(route),
      receivers,
      inhibitRules: inhibit_rules.map(({ source_matchers, target_matchers, equal }) => ({
        sourceMatch: source_matchers.map(toMatcher),
        targetMatch: target_matchers.map(toMatcher),
        equal,
      })),
    },
  }
  return HEADER + stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })
}

function toRoute({ receiver, group_by, group_wait, group_interval, repeat_interval, matchers, routes }: Route): object {
  return {
    receiver,
    ...(group_by && { groupBy: group_by }),
    ...(group_wait && { groupWait: group_wait }),
    ...(group_interval && { groupInterval: group_interval }),
    ...(repeat_interval && { repeatInterval: repeat_interval }),
    ...(matchers && { matchers: matchers.map(toMatcher) }),
    ...(routes && { routes: routes.map(toRoute) }),
  }
}

function toMatcher(text: string): { name: string; matchType: string; value: string } {
  const [, name, matchType, value] = /^(\w+)(=~|!~|!=|=)"([^"\\]*)"$/.exec(text) ?? []
  if (name === undefined || matchType === undefined || value === undefined) throw new Error(`not a matcher: ${text}`)
  return { name, matchType, value }
}
