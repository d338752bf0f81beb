import type { Alert, Severity } from '@tidemark/client/types'

export interface AlertGroup {
  /** The prefix that its keys share; '' for alerts of the whole fleet. */
  readonly name: string
  /** Newest first. */
  readonly alerts: readonly [Alert, ...Alert[]]
  readonly severity: Severity
  /** When the first one opened. */
  readonly since: number
}

const ORDER: readonly Severity[] = ['info', 'warning', 'critical']

/** Groups alerts by device, the part of a key before its metric; the newest group comes first. */
export function groupAlerts(alerts: readonly Alert[]): AlertGroup[] {
  const groups = Map.groupBy(alerts, ({ key }) => (key === null ? '' : deviceOf(key)))
  return [...groups]
    .flatMap(([name, [first, ...others]]): AlertGroup[] => {
      if (first === undefined) return []
      const all = [first, ...others] as const
      const severity = all.reduce<Severity>(
        (worst, one) => (rank(one.severity) > rank(worst) ? one.severity : worst),
        'info',
      )
      return [{ name, alerts: [...all], severity, since: Math.min(...all.map(({ opened_at }) => opened_at)) }]
    })
    .sort((a, b) => newest(b) - newest(a))
}

const rank = (severity: Severity): number => ORDER.indexOf(severity)
const newest = ({ alerts }: AlertGroup): number => Math.max(...alerts.map(({ opened_at }) => opened_at))

function deviceOf(key: string): string {
  const slash = key.lastIndexOf('/')
  return slash < 0 ? key : key.slice(0, slash + 1)
}
