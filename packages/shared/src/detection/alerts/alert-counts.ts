import { z } from 'zod'
import type { AlertCause, SimilarAlerts } from './record.ts'

/*
 * How many alerts a key or a rule had on each day, and how operators marked them: a list as JSON.
 * The Redis store changes it in a script (lua/include/alert-counts.lua), which does the same.
 */

/** Alerts are counted for so many days (UTC), the present one included. */
export const COUNTED_DAYS = 30

/** A key's list is no longer than this, whatever rules its alerts opened under. */
const COUNTS_MAX = 200

const DAY_MS = 86_400_000

const countsSchema = z.array(
  z
    .tuple([z.number(), z.string(), z.number(), z.number(), z.number()])
    .transform(([day, name, opened, useful, noise]) => ({ day, name, opened, useful, noise })),
)

/** The alerts that opened on a day. `name` is that of `countName`; in the list of a rule ''. */
export type AlertCount = Readonly<z.output<typeof countsSchema>[number]>

export type MarkedCount = Pick<AlertCount, 'opened' | 'useful' | 'noise'>

/** Returns the number of the day since 1970. */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS)
}

/** Alerts of a key are counted apart by their cause and rule. */
export function countName(cause: AlertCause['kind'], rule: string | null): string {
  return `${cause}:${rule ?? ''}`
}

/** Returns the rule in such a name; '' for the default. */
export function ruleIn(name: string): string {
  return name.slice(name.indexOf(':') + 1)
}

/** Parses a stored list; one that Tidemark did not write is empty. */
export function parseAlertCounts(text: string | null | undefined): AlertCount[] {
  try {
    return countsSchema.parse(JSON.parse(text ?? '[]'))
  } catch {
    return []
  }
}

export function formatAlertCounts(counts: readonly AlertCount[]): string {
  return JSON.stringify(counts.map(({ day, name, opened, useful, noise }) => [day, name, opened, useful, noise]))
}

/** Returns the counts without old ones, before an alert that opens on `day` is added. */
export function recentCounts(counts: readonly AlertCount[], day: number): AlertCount[] {
  // From beyond the next day: the clock was ahead.
  const recent = counts.filter(one => one.day > day - COUNTED_DAYS && one.day <= day + 1)
  return recent.slice(Math.max(0, recent.length - (COUNTS_MAX - 1)))
}

/** Returns the counts with a change. No day has fewer alerts than marks. */
export function withChange(
  counts: readonly AlertCount[],
  { day, name, opened, useful, noise }: AlertCount,
): AlertCount[] {
  const before = counts.find(one => one.day === day && one.name === name)
  const marks = {
    useful: Math.max(0, (before?.useful ?? 0) + useful),
    noise: Math.max(0, (before?.noise ?? 0) + noise),
  }
  const sum = Math.max((before?.opened ?? 0) + opened, marks.useful + marks.noise)
  const after = { day, name, opened: sum, ...marks }
  return before === undefined ? [...counts, after] : counts.map(one => (one === before ? after : one))
}

/** Sums the alerts with a cause. */
export function similarIn(counts: readonly AlertCount[], cause: AlertCause['kind']): SimilarAlerts {
  return sumOf(counts.filter(({ name }) => name.startsWith(`${cause}:`)))
}

/** Sums the alerts of the last days, as of `now`. */
export function sumRecent(counts: readonly AlertCount[], now: number): MarkedCount {
  return sumOf(counts.filter(({ day }) => day > dayOf(now) - COUNTED_DAYS))
}

export function addCounts(a: MarkedCount, b: MarkedCount): MarkedCount {
  return { opened: a.opened + b.opened, useful: a.useful + b.useful, noise: a.noise + b.noise }
}

function sumOf(counts: readonly AlertCount[]): MarkedCount {
  return counts.reduce<MarkedCount>(addCounts, { opened: 0, useful: 0, noise: 0 })
}
