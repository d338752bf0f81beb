import type { Analysis } from '@tidemark/shared/verdict/analysis'
import { SCORE_CAP } from '@tidemark/shared/verdict/score'
import { formatCount, formatDuration, formatNumber, formatShare, formatZ, pad } from '../lib/format.ts'

const KEYS_SHOWN = 20
const FLAGGED_SHOWN = 20
const REFUSED_SHOWN = 10
const KEY_WIDTH_MAX = 50

interface KeyCounts {
  analysed: number
  flagged: number
  /** The pipeline's own numbers of the first and the last of the key's samples. */
  first: number
  last: number
}

/** What a replay amounts to, counted from the verdicts themselves. */
export class Summary {
  readonly #keys = new Map<string, KeyCounts>()
  /** The greatest |z| first. */
  readonly #top: Analysis[] = []
  readonly #refused: { line: number; reason: string }[] = []
  #refusedCount = 0
  #analysed = 0
  #flagged = 0
  #warming = 0
  #unknown = 0

  get analysed(): number {
    return this.#analysed
  }

  get flagged(): number {
    return this.#flagged
  }

  get refused(): number {
    return this.#refusedCount
  }

  /** Samples whose verdict could not be read. */
  get unknown(): number {
    return this.#unknown
  }

  add(analysis: Analysis): void {
    const counts = this.#keys.get(analysis.key) ?? newCounts()
    if (counts.analysed === 0) this.#keys.set(analysis.key, counts)
    counts.analysed += 1
    counts.first = Math.min(counts.first, analysis.count)
    counts.last = Math.max(counts.last, analysis.count)
    this.#analysed += 1
    if (analysis.state === 'warming') this.#warming += 1
    if (!analysis.anomaly) return
    counts.flagged += 1
    this.#flagged += 1
    this.#rank(analysis)
  }

  refuse(line: number, reason: string): void {
    this.#refusedCount += 1
    if (this.#refused.length < REFUSED_SHOWN) this.#refused.push({ line, reason })
  }

  countUnknown(samples: number): void {
    this.#unknown += samples
  }

  /** As text, for somebody who did not watch. */
  render({ title, durationMs }: { title: string; durationMs: number }): string {
    const rate = durationMs > 0 ? Math.round(this.#analysed / (durationMs / 1000)) : 0
    const { size } = this.#keys
    const lines = [
      title,
      `  samples   ${formatCount(this.#analysed)} analysed, of ${formatCount(size)} ${size === 1 ? 'key' : 'keys'}`,
      `  flagged   ${formatCount(this.#flagged)} (${formatShare(this.#flagged, this.#analysed)})`,
      `  warming   ${formatCount(this.#warming)} samples came before their key had enough for a verdict`,
      `  took      ${formatDuration(durationMs)}, ${formatCount(rate)} samples/s`,
    ]
    if (this.#unknown > 0) {
      lines.push(`  UNKNOWN   ${formatCount(this.#unknown)} verdicts could not be read: the counts above lack them`)
    }
    return [
      ...lines,
      ...this.#renderNotes(),
      ...this.#renderKeys(),
      ...this.#renderTop(),
      ...this.#renderRefused(),
    ].join('\n')
  }

  /** What else went into the verdicts, read off the pipeline's own numbers. */
  #renderNotes(): string[] {
    const counts = [...this.#keys.values()]
    const older = counts.filter(({ first }) => first > 1).length
    const mixed = counts.filter(({ first, last, analysed }) => last - first + 1 !== analysed).length
    const notes: string[] = []
    if (older > 0) notes.push(`${formatCount(older)} keys had samples in this Redis before; verdicts rest on them too`)
    if (mixed > 0)
      notes.push(`of ${formatCount(mixed)} keys other samples came in between, from elsewhere or sent twice`)
    return notes.map(note => `  note      ${note}`)
  }

  /** Keeps the greatest few in order. They are few, so a place is found by walking. */
  #rank(analysis: Analysis): void {
    const size = Math.abs(analysis.z ?? 0)
    const at = this.#top.findIndex(other => Math.abs(other.z ?? 0) < size)
    if (at < 0 && this.#top.length >= FLAGGED_SHOWN) return
    this.#top.splice(at < 0 ? this.#top.length : at, 0, analysis)
    if (this.#top.length > FLAGGED_SHOWN) this.#top.pop()
  }

  #renderKeys(): string[] {
    const flagged = [...this.#keys].filter(([, counts]) => counts.flagged > 0)
    if (flagged.length === 0 || this.#keys.size < 2) return []
    flagged.sort(([a, x], [b, y]) => y.flagged - x.flagged || (a < b ? -1 : 1))
    const shown = flagged.slice(0, KEYS_SHOWN)
    const width = keyWidth(shown.map(([key]) => key))
    const rows = shown.map(([key, counts]) => {
      const share = formatShare(counts.flagged, counts.analysed)
      return `  ${pad(key, width)} ${pad(formatCount(counts.flagged), 9, 'right')} of ${formatCount(counts.analysed)} (${share})`
    })
    const more = flagged.length - shown.length
    return ['', 'Flagged by key:', ...rows, ...(more > 0 ? [`  ... ${formatCount(more)} more keys`] : [])]
  }

  #renderTop(): string[] {
    if (this.#top.length === 0) return []
    const width = keyWidth(this.#top.map(({ key }) => key))
    const title = `  ${pad('key', width)} ${pad('timestamp', 24)} ${pad('value', 11, 'right')} ${pad('z', 8, 'right')}  band`
    const rows = this.#top.map(({ key, timestamp, value, z, low, high }) => {
      const cells = [
        pad(key, width),
        new Date(timestamp).toISOString(),
        pad(formatNumber(value), 11, 'right'),
        pad(formatZ(z), 8, 'right'),
      ]
      return `  ${cells.join(' ')}  ${formatNumber(low ?? 0)} to ${formatNumber(high ?? 0)}`
    })
    const heading = this.#flagged > this.#top.length ? `The ${this.#top.length} farthest from their band:` : 'Flagged:'
    const isCapped = this.#top.some(({ z }) => Math.abs(z ?? 0) === SCORE_CAP)
    const note = isCapped ? [`  (z ${formatZ(SCORE_CAP)}: the values before it were all the same)`] : []
    return ['', heading, title, ...rows, ...note]
  }

  #renderRefused(): string[] {
    if (this.#refusedCount === 0) return []
    const more = this.#refusedCount - this.#refused.length
    return [
      '',
      `Lines refused: ${formatCount(this.#refusedCount)}`,
      ...this.#refused.map(({ line, reason }) => `  line ${line}: ${reason}`),
      ...(more > 0 ? [`  ... ${formatCount(more)} more`] : []),
    ]
  }
}

function newCounts(): KeyCounts {
  return { analysed: 0, flagged: 0, first: Number.POSITIVE_INFINITY, last: 0 }
}

function keyWidth(keys: readonly string[]): number {
  return Math.min(KEY_WIDTH_MAX, Math.max(3, ...keys.map(key => key.length)))
}
