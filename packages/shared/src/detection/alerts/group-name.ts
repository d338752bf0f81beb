import type { AlertGroup } from './grouping.ts'

const DAY_MS = 86_400_000

/** Names in one sentence. */
const LISTED_MAX = 10

/** Names a group by what its alerts share, such as `7 metrics of edge-17 since 14:02 UTC`. */
export function nameGroup(group: AlertGroup, now: number): string {
  return `${subjectOf(group)} since ${sinceOf(group.since, now)}`
}

/** Returns the sentence that describes a group to people. */
export function describeGroup(group: AlertGroup, now: number): string {
  return `${nameGroup(group, now)}: ${listGroup(group)}.`
}

/** Returns what a group consists of: `cpu, fan, load and 12 more`. */
export function listGroup({ by, device, prefix, alerts }: AlertGroup): string {
  const start = device === null && by !== 'prefix' ? '' : (prefix ?? '')
  const names = [...new Set(alerts.map(({ key }) => shorten(key ?? 'the fleet', start)))]
  const listed = names.slice(0, LISTED_MAX).join(', ')
  return names.length > LISTED_MAX ? `${listed} and ${names.length - LISTED_MAX} more` : listed
}

function subjectOf(group: AlertGroup): string {
  const { by, device, prefix, keyCount, alerts, since, lastOpenedAt } = group
  const [{ key } = { key: null }] = alerts
  if (key === null) return 'alert storm'
  if (keyCount === 1) return alerts.length === 1 ? nameOf(key) : `${alerts.length} alerts of ${nameOf(key)}`
  if (by === 'device') return `${keyCount} metrics of ${device}`
  if (by === 'prefix') return `${keyCount} metrics under ${prefix}`
  return `${keyCount} metrics within ${Math.max(1, Math.ceil((lastOpenedAt - since) / 1000))} s`
}

/** `edge-17/cpu` reads as "cpu of edge-17"; a key without a slash stays as it is. */
function nameOf(key: string): string {
  const slash = key.lastIndexOf('/')
  return slash > 0 && slash < key.length - 1 ? `${key.slice(slash + 1)} of ${key.slice(0, slash)}` : key
}

function shorten(key: string, start: string): string {
  return key.length > start.length && key.startsWith(start) ? key.slice(start.length) : key
}

/** Hours and minutes; with the date if it is not of the last day. */
function sinceOf(ms: number, now: number): string {
  const date = new Date(ms)
  if (Number.isNaN(date.getTime())) return `${ms} ms`
  const [day, time = ''] = date.toISOString().split('T')
  const text = `${time.slice(0, 5)} UTC`
  return now - ms < DAY_MS ? text : `${text} on ${day}`
}
