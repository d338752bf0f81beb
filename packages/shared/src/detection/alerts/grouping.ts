import { hash } from 'node:crypto'
import { SEVERITIES, type Severity } from './alert.ts'
import { type Place, placesOf } from './place.ts'
import type { AlertOpening } from './record.ts'

/** Alerts of one group follow each other within this time. */
export const ONSET_GAP_MS = 10_000

/** What the alerts of a group share; `key` for an alert of its own. */
export const GROUPED_BY = ['device', 'prefix', 'onset', 'key'] as const

export type Groupable = Pick<AlertOpening, 'id' | 'key' | 'opened_at' | 'severity'>

/** Alerts that probably have one cause. */
export interface AlertGroup<A extends Groupable = Groupable> {
  /** The same while its first alerts fire, whatever joins or leaves it. */
  readonly id: string
  readonly by: (typeof GROUPED_BY)[number]
  readonly device: string | null
  /** What all its keys begin with. */
  readonly prefix: string | null
  /** The worst of its alerts. */
  readonly severity: Severity
  /** When the first and the last of its alerts opened. */
  readonly since: number
  readonly lastOpenedAt: number
  readonly keyCount: number
  /** In the order in which they opened. */
  readonly alerts: readonly A[]
}

/** An alert with its places, the outermost first. */
interface Placed<A> {
  readonly alert: A
  readonly places: readonly Place[]
  /** Which of them is its device. */
  readonly deviceAt: number
}

/**
 * Groups alerts by what they share and when they opened, each in one group: by device, then those
 * that are left by the places around it, then those that opened within `ONSET_GAP_MS` of the first.
 * The groups are in the order of their first alerts, and do not depend on the order of `alerts`.
 */
export function groupAlerts<A extends Groupable>(alerts: readonly A[]): AlertGroup<A>[] {
  const groups: AlertGroup<A>[] = []
  let left = placed(alerts)
  const depthMax = left.reduce((max, { places }) => Math.max(max, places.length), 0)
  for (let depth = depthMax - 1; depth >= 0; depth--) {
    const above = left.filter(({ deviceAt }) => deviceAt < depth)
    const here = Map.groupBy(
      left.filter(({ deviceAt }) => deviceAt >= depth),
      ({ places }) => places[depth]?.id,
    )
    left = above
    for (const ofPlace of here.values()) {
      for (const run of runsOf(ofPlace)) {
        const [{ places, deviceAt }] = run
        if (run.length === 1) left.push(...run)
        else groups.push(toGroup(deviceAt === depth ? 'device' : 'prefix', places[depth], run))
      }
    }
    left.sort(byOnset)
  }
  // An alert of the whole fleet has no place, and is the cause of others rather than one of them.
  const fleet = left.filter(({ places }) => places.length === 0)
  const together = onsetsOf(left.filter(({ places }) => places.length > 0))
  for (const run of [...fleet.map(one => [one] as const), ...together]) {
    const [{ places, deviceAt }] = run
    groups.push(run.length === 1 ? toGroup('key', places[deviceAt], run) : toGroup('onset', undefined, run))
  }
  return groups.sort((a, b) => a.since - b.since || compare(a.id, b.id))
}

/** Places alerts, and puts them in the order in which they opened. */
function placed<A extends Groupable>(alerts: readonly A[]): Placed<A>[] {
  const sorted = alerts
    .toSorted(inOrder)
    .map(alert => ({ alert, places: alert.key === null ? [] : placesOf(alert.key) }))
  // What is below a device with metrics of its own, such as its disks, is part of it.
  const devices = new Set(sorted.map(({ places }) => places.at(-1)?.id))
  return sorted.map(one => ({ ...one, deviceAt: one.places.findIndex(({ id }) => devices.has(id)) }))
}

function toGroup<A extends Groupable>(by: AlertGroup['by'], place: Place | undefined, run: Run<A>): AlertGroup<A> {
  const alerts = run.map(({ alert }) => alert)
  const [{ alert: first }] = run
  const worst = Math.max(...alerts.map(({ severity }) => SEVERITIES.indexOf(severity)))
  const shared = by === 'onset' ? '' : (place?.id ?? first.id)
  return {
    id: hash('sha256', `${first.opened_at} ${shared}`).slice(0, 16),
    by,
    device: by === 'device' || by === 'key' ? (place?.name ?? null) : null,
    prefix: by === 'key' ? first.key : (place?.prefix ?? null),
    severity: SEVERITIES[worst] ?? first.severity,
    since: first.opened_at,
    lastOpenedAt: alerts.at(-1)?.opened_at ?? first.opened_at,
    keyCount: new Set(alerts.map(({ key }) => key)).size,
    alerts,
  }
}

type Run<A> = readonly [Placed<A>, ...Placed<A>[]]

/** Splits alerts of one place wherever none opened for a while. */
function runsOf<A extends Groupable>(alerts: readonly Placed<A>[]): Run<A>[] {
  return split(alerts, (one, run) => one.alert.opened_at - (run.at(-1) ?? run[0]).alert.opened_at > ONSET_GAP_MS)
}

/** Splits alerts that share only the time: a chain of coincidences would never end. */
function onsetsOf<A extends Groupable>(alerts: readonly Placed<A>[]): Run<A>[] {
  return split(alerts, (one, [first]) => one.alert.opened_at - first.alert.opened_at > ONSET_GAP_MS)
}

function split<A>(alerts: readonly Placed<A>[], isNext: (one: Placed<A>, run: Run<A>) => boolean): Run<A>[] {
  const runs: [Placed<A>, ...Placed<A>[]][] = []
  for (const one of alerts) {
    const run = runs.at(-1)
    if (run === undefined || isNext(one, run)) runs.push([one])
    else run.push(one)
  }
  return runs
}

function byOnset(a: Placed<Groupable>, b: Placed<Groupable>): number {
  return inOrder(a.alert, b.alert)
}

function inOrder(a: Groupable, b: Groupable): number {
  return a.opened_at - b.opened_at || compare(a.key ?? '', b.key ?? '') || compare(a.id, b.id)
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
