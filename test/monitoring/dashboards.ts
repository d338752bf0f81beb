import { readFolder } from './rules.ts'

export interface Target {
  readonly refId: string
  readonly expr: string
  readonly legendFormat?: string
  readonly datasource?: DataSource
}

export interface DataSource {
  readonly type: string
  readonly uid: string
}

export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly datasource?: DataSource
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } }
  readonly targets?: readonly Target[]
}

export interface Variable {
  readonly name: string
  readonly type: string
  readonly datasource?: DataSource
  readonly query: string | { readonly query: string }
}

export interface Annotation {
  readonly name: string
  readonly builtIn?: number
  readonly datasource: DataSource
  readonly expr?: string
}

export interface Dashboard {
  /** As `overview.json`. */
  readonly file: string
  readonly uid: string
  readonly title: string
  readonly description?: string
  readonly tags: readonly string[]
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly Variable[] }
  readonly annotations: { readonly list: readonly Annotation[] }
}

export function readDashboards(): Dashboard[] {
  return readFolder('grafana/dashboards', '.json').map(({ name, text }) => ({ file: name, ...JSON.parse(text) }))
}

/** All panels that show something: not the headings of rows. */
export function panelsOf(dashboard: Dashboard): Panel[] {
  return dashboard.panels.filter(({ type }) => type !== 'row')
}

/** What Grafana puts in the place of variables, as if nothing were chosen. */
export function filledIn(expression: string, rateInterval: string): string {
  return expression
    .replaceAll('$__rate_interval', rateInterval)
    .replaceAll('$namespace', '.*')
    .replaceAll(/\$(job|instance)/g, '.+')
}
