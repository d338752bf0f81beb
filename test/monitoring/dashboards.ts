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
  /** Such as `overview.json`. */
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

/** Returns all panels with data, without the headings of rows. */
export function panelsOf(dashboard: Dashboard): Panel[] {
  return dashboard.panels.filter(({ type }) => type !== 'row')
}

/** Replaces variables as Grafana does if nothing is selected. */
export function filledIn(expression: string, rateInterval: string): string {
  return expression
    .replaceAll('$__rate_interval', rateInterval)
    .replaceAll('$namespace', '.*')
    .replaceAll(/\$(job|instance)/g, '.+')
}
