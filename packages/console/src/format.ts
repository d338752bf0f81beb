/** Numbers and times as the browser's locale writes them. */
const locale = navigator.languages

const integer = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat(locale, { maximumSignificantDigits: 4, signDisplay: 'negative' })
const compact = new Intl.NumberFormat(locale, { notation: 'compact', maximumSignificantDigits: 4 })
const scientific = new Intl.NumberFormat(locale, { notation: 'scientific', maximumSignificantDigits: 4 })
const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumSignificantDigits: 2 })
const tenth = new Intl.NumberFormat(locale, {
  ...{ maximumFractionDigits: 1, minimumFractionDigits: 1, signDisplay: 'negative' },
})
const clock = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' })
const clockWithSeconds = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' })
const day = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' })
const full = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'long' })

const DAY_MS = 86_400_000
const MILLION = 1e6
const QUADRILLION = 1e15

export const formatCount = (value: number): string => integer.format(value)

export const formatPercent = (share: number): string => percent.format(share)

export function formatValue(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  const size = Math.abs(value)
  // Words for powers of ten end with trillions, and small numbers have none.
  if (size >= QUADRILLION || (size > 0 && size < 1e-4)) return scientific.format(value)
  return size >= MILLION ? compact.format(value) : short.format(value)
}

export const formatZ = (z: number | null): string =>
  z === null ? '–' : Math.abs(z) >= 1000 ? integer.format(z) : tenth.format(z)

export const formatRate = (rate: number | null | undefined): string =>
  rate === null || rate === undefined ? '–' : compact.format(rate)

export function formatBytes(bytes: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log(Math.max(1, bytes)) / Math.log(1000))))
  const style = { style: 'unit', unit: units[power] ?? 'byte', maximumSignificantDigits: 3 } as const
  return new Intl.NumberFormat(locale, style).format(bytes / 1000 ** power)
}

/** A time of the last day by its clock, an earlier one with its date. */
export function formatTime(time: number): string {
  return (Math.abs(Date.now() - time) < DAY_MS / 2 ? clock : day).format(time)
}

export const formatSecond = (time: number): string => clockWithSeconds.format(time)
export const formatFull = (time: number): string => full.format(time)

const SPANS = [
  ['year', 365.25 * DAY_MS],
  ['day', DAY_MS],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
] as const

/** A duration in its largest unit, in English as the sentences around it: "3 minutes". */
export function formatDuration(ms: number): string {
  const [unit, size] = SPANS.find(([, span]) => ms >= span) ?? (['second', 1000] as const)
  return plural(Math.round(ms / size), unit)
}

export const formatAgo = (time: number): string => {
  const ms = Date.now() - time
  return ms < 2000 ? 'now' : `${formatDuration(ms)} ago`
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}
