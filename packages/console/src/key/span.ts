/** An interval of time in Unix milliseconds. */
export interface Range {
  readonly from: number
  readonly to: number
}

export interface Span {
  /** In links; empty for all samples that the page has. */
  readonly name: string
  readonly title: string
  readonly ms: number
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

export const NEWEST: Span = { name: '', title: 'Newest', ms: 0 }

export const SPANS: readonly Span[] = [
  { name: '1m', title: '1 min', ms: MINUTE_MS },
  { name: '5m', title: '5 min', ms: 5 * MINUTE_MS },
  NEWEST,
  { name: '1h', title: '1 h', ms: HOUR_MS },
  { name: '6h', title: '6 h', ms: 6 * HOUR_MS },
  { name: '24h', title: '24 h', ms: DAY_MS },
  { name: '7d', title: '7 d', ms: 7 * DAY_MS },
]

/** Up to here the samples that the page has are enough. */
const SAMPLES_MS = 5 * MINUTE_MS

/** Aggregates that the gateway has, finest first, and for how long. */
const LEVELS = [
  { step: '10s', stepMs: 10_000, keptMs: 30 * MINUTE_MS },
  { step: '1m', stepMs: MINUTE_MS, keptMs: 6 * HOUR_MS },
  { step: '15m', stepMs: 15 * MINUTE_MS, keptMs: 7 * DAY_MS },
] as const

/** More buckets than a chart has room for. */
const BUCKETS_MAX = 1440

/** What the gateway returns at once. */
const RESPONSE_MAX = 900

/** The shortest time that a chart is zoomed to. */
const LEAST_MS = 10

/** The end of the year 9999. */
const TIME_MAX = 253_402_300_799_999

/** What the chart shows: the newest part of the key's time, or an interval that does not move. */
export interface Shown {
  readonly span: Span
  readonly range: Range | undefined
}

/** Reads a link. What it does not allow is as if it were absent. */
export function shownOf(parameters: URLSearchParams): Shown {
  const span = SPANS.find(({ name }) => name === parameters.get('span')) ?? NEWEST
  const [from, to] = ['from', 'to'].map(name => timeOf(parameters.get(name)))
  return { span, range: from !== undefined && to !== undefined && from < to ? { from, to } : undefined }
}

/** Unix milliseconds, or what people write: 2026-11-27T14:00Z. */
function timeOf(text: string | null): number | undefined {
  if (text === null || text.trim() === '') return undefined
  const time = /^-?\d+$/.test(text) ? Number(text) : Date.parse(text)
  return Math.abs(time) <= TIME_MAX ? time : undefined
}

/** The parameters of a link to an interval. */
export function rangeParameters({ from, to }: Range): Readonly<Record<string, string>> {
  const begin = Math.floor(from)
  return { span: '', from: String(begin), to: String(Math.max(Math.ceil(to), begin + LEAST_MS)) }
}

/** Zooms around a time: a factor below 1 shows less. */
export function zoomed({ from, to }: Range, around: number, factor: number): Range {
  return { from: around - (around - from) * factor, to: around + (to - around) * factor }
}

export interface LevelQuery {
  readonly step: string
  /** In words: a small number would be seconds. */
  readonly from?: string
  readonly to?: string
}

/** Aggregates to join, finest first. Those finer than `baseMs` only fill the newest time. */
export interface LevelQueries {
  readonly baseMs: number
  readonly queries: readonly LevelQuery[]
}

/**
 * Returns what to read for an interval: the finest level that is not too much, coarser ones where
 * that one is no longer kept, and finer ones from the end of its last bucket to the first sample
 * that the page has.
 */
export function levelsFor({ from, to }: Range, now: number, samplesFrom: number): LevelQueries {
  const found = LEVELS.findIndex(({ stepMs }) => (to - from) / stepMs <= BUCKETS_MAX)
  const base = found < 0 ? LEVELS.length - 1 : found
  const queries: LevelQuery[] = []
  for (const [i, { step, stepMs, keptMs }] of LEVELS.entries()) {
    const coarserMs = LEVELS[i + 1]?.stepMs
    if (i < base && coarserMs !== undefined) {
      const end = Math.min(to, samplesFrom)
      queries.push({ step, from: isoTime(coarserMs * Math.floor(end / coarserMs)), to: isoTime(end) })
      continue
    }
    const isLong = (to - from) / stepMs > RESPONSE_MAX
    queries.push({ step, ...(!isLong && { from: isoTime(from), to: isoTime(to) }) })
    if (keptMs >= now - from) break
  }
  return { baseMs: LEVELS[base]?.stepMs ?? 0, queries }
}

function isoTime(time: number): string {
  return new Date(Math.round(Math.min(TIME_MAX, Math.max(0, time)))).toISOString()
}

/** Whether something is shown that the samples of the page do not reach. */
export function needsLevels({ span, range }: Shown): boolean {
  return range !== undefined || span.ms > SAMPLES_MS
}
