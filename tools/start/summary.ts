import type { Analysis } from '@tidemark/shared/verdict/analysis'
import { SCORE_CAP } from '@tidemark/shared/verdict/score'
import { formatCount, formatDuration, formatNumber, formatShare, formatZ, truncate } from '../lib/format.ts'
import { formatTable } from '../lib/table.ts'

const KEYS_SHOWN = 20
const ANOMALIES_SHOWN = 20
const REJECTED_SHOWN = 10
const KEY_WIDTH_MAX = 50

interface KeyCounts {
  analysed: number
  anomalies: number
  /** The least and the greatest `count` in the key's verdicts. */
  first: number
  last: number
}

/** The result of a replay, counted from its verdicts. */
export class Summary {
  analysed = 0
  anomalies = 0
  /** Samples whose verdict could not be read. */
  unknown = 0
  #warming = 0
  #rejectedCount = 0
  readonly #rejected: string[] = []
  readonly #keys = new Map<string, KeyCounts>()
  /** The anomalies with the greatest |z|, the greatest first. */
  #top: Analysis[] = []

  add(analysis: Analysis): void {
    const { key, count, state, anomaly } = analysis
    const counts = this.#keys.get(key) ?? { analysed: 0, anomalies: 0, first: count, last: count }
    if (counts.analysed === 0) this.#keys.set(key, counts)
    counts.analysed += 1
    counts.first = Math.min(counts.first, count)
    counts.last = Math.max(counts.last, count)
    this.analysed += 1
    if (state === 'warming') this.#warming += 1
    if (!anomaly) return
    counts.anomalies += 1
    this.anomalies += 1
    const last = this.#top[ANOMALIES_SHOWN - 1]
    if (last !== undefined && size(last) >= size(analysis)) return
    this.#top = [...this.#top, analysis].sort((a, b) => size(b) - size(a)).slice(0, ANOMALIES_SHOWN)
  }

  reject(line: number, reason: string): void {
    this.#rejectedCount += 1
    if (this.#rejected.length < REJECTED_SHOWN) this.#rejected.push(`  line ${line}: ${reason}`)
  }

  /** `input` says how the file was read. */
  render({ title, input, durationMs }: { title: string; input: readonly string[]; durationMs: number }): string {
    const rate = durationMs > 0 ? Math.round(this.analysed / (durationMs / 1000)) : 0
    const lines = [
      title,
      ...input.map(line => `  ${line}`),
      `  samples    ${formatCount(this.analysed)} analysed, of ${counted(this.#keys.size, 'key')}`,
      `  anomalies  ${formatCount(this.anomalies)} (${formatShare(this.anomalies, this.analysed)})`,
      `  warming    ${formatCount(this.#warming)} samples came before their key had enough for a verdict`,
      `  took       ${formatDuration(durationMs)}, ${formatCount(rate)} samples/s`,
    ]
    if (this.unknown > 0) {
      lines.push(`  UNKNOWN    ${formatCount(this.unknown)} verdicts could not be read and are missing above`)
    }
    lines.push(...this.#renderNotes(), ...this.#renderKeys(), ...this.#renderTop())
    if (this.#rejectedCount > 0) {
      lines.push('', `Rejected lines: ${formatCount(this.#rejectedCount)}`, ...this.#rejected)
      lines.push(...more(this.#rejectedCount - this.#rejected.length, ''))
    }
    return lines.join('\n')
  }

  /** Says which other samples influenced the verdicts: `count` includes those of other clients. */
  #renderNotes(): string[] {
    const counts = [...this.#keys.values()]
    const older = counts.filter(({ first }) => first > 1).length
    const mixed = counts.filter(({ first, last, analysed }) => last - first + 1 !== analysed).length
    const notes: string[] = []
    if (older > 0) notes.push(`${counted(older, 'key')} had samples in this Redis before, which influence the verdicts`)
    if (mixed > 0) notes.push(`${counted(mixed, 'key')} got other samples meanwhile, from other clients or sent twice`)
    return notes.map(note => `  note       ${note}`)
  }

  #renderKeys(): string[] {
    const keys = [...this.#keys].filter(([, counts]) => counts.anomalies > 0)
    if (keys.length === 0 || this.#keys.size < 2) return []
    keys.sort(([a, x], [b, y]) => y.anomalies - x.anomalies || (a < b ? -1 : 1))
    const rows = keys
      .slice(0, KEYS_SHOWN)
      .map(([key, { anomalies, analysed }]) => [cellOf(key), anomalies, analysed, formatShare(anomalies, analysed)])
    const table = formatTable(['  key', 'anomalies', 'samples', 'share'], rows, { align: 'right' })
    return ['', 'Anomalies by key:', table, ...more(keys.length - rows.length, ' keys')]
  }

  #renderTop(): string[] {
    if (this.#top.length === 0) return []
    const rows = this.#top.map(({ key, timestamp, value, z, low, high }) => {
      const band = `${formatNumber(low ?? 0)} to ${formatNumber(high ?? 0)}`
      return [cellOf(key), new Date(timestamp).toISOString(), formatNumber(value), formatZ(z), band]
    })
    const title = this.anomalies > rows.length ? `The ${rows.length} farthest from their band:` : 'Anomalies:'
    const isCapped = this.#top.some(({ z }) => Math.abs(z ?? 0) === SCORE_CAP)
    const note = isCapped ? [`  (z ${formatZ(SCORE_CAP)}: all values before it were equal)`] : []
    const table = formatTable(['  key', 'timestamp', 'value', 'z', 'band'], rows, { align: 'right' })
    return ['', title, table, ...note]
  }
}

function cellOf(key: string): string {
  return `  ${truncate(key, KEY_WIDTH_MAX)}`
}

function size({ z }: Analysis): number {
  return Math.abs(z ?? 0)
}

function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`
}

function more(count: number, what: string): string[] {
  return count > 0 ? [`  ... ${formatCount(count)} more${what}`] : []
}
