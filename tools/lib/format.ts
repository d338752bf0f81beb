import stringWidth from 'string-width'

export type Unit = 'percent' | 'bytes' | 'bytes_per_second' | 'milliseconds' | 'none'

const BINARY_PREFIXES = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'] as const
/** Characters of one column each: ASCII, a middle dot, an ellipsis and the bars. */
const ONE_COLUMN_EACH = /^[ -~·…▁-█]*$/

const BARS = '▁▂▃▄▅▆▇█'

/** Returns a number with four digits; very large and small numbers have an exponent. */
export function formatNumber(value: number): string {
  const size = Math.abs(value)
  if (size !== 0 && (size >= 1e7 || size < 1e-3)) return value.toExponential(2).replace('e+', 'e')
  if (size >= 1000) return String(Math.round(value))
  return String(Number(value.toPrecision(4)))
}

const FORMATS: Readonly<Record<Unit, (value: number) => string>> = {
  percent: value => `${value.toFixed(1)} %`,
  milliseconds: value => `${value.toFixed(1)} ms`,
  bytes: formatBytes,
  bytes_per_second: value => `${formatBytes(value)}/s`,
  none: formatNumber,
}

export function formatValue(value: number, unit: Unit): string {
  return FORMATS[unit](value)
}

/** Returns a z-score with its sign, which shows the side of the normal range. */
export function formatZ(z: number | null): string {
  if (z === null) return '-'
  const exponent = (): string => z.toExponential(1).replace('e+', 'e').replace('.0e', 'e')
  const text = Math.abs(z) >= 1000 ? exponent() : z.toFixed(Math.abs(z) >= 100 ? 0 : 1)
  return z > 0 ? `+${text}` : text === '-0.0' ? '0.0' : text
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** Returns a share such as `1.2 %`. A share above zero never shows as zero. */
export function formatShare(part: number, whole: number): string {
  if (whole === 0 || part === 0) return '0 %'
  const percent = (part / whole) * 100
  return percent < 0.01 ? '< 0.01 %' : `${percent.toFixed(percent < 1 ? 2 : 1)} %`
}

export function formatDuration(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const whole = Math.floor(seconds)
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  return `${hours > 0 ? `${hours} h ` : ''}${minutes} min ${whole % 60} s`
}

/** Returns the columns of `text` on a terminal. Common text avoids the slow string-width. */
export function widthOf(text: string): number {
  return ONE_COLUMN_EACH.test(text) ? text.length : stringWidth(text)
}

/** Returns `text` in exactly `width` columns: cut with an ellipsis, or padded with blanks. */
export function pad(text: string, width: number, side: 'left' | 'right' = 'left'): string {
  const cut = truncate(text, width)
  const blanks = ' '.repeat(Math.max(0, width - widthOf(cut)))
  return side === 'left' ? cut + blanks : blanks + cut
}

/** Returns `text` in at most `width` columns, cut with an ellipsis. */
export function truncate(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let kept = ''
  for (const character of text) {
    if (widthOf(kept + character) > width - 1) break
    kept += character
  }
  return width > 0 ? `${kept}…` : ''
}

export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

/** Returns a paragraph of a generated page, wrapped at 100 columns. */
export function paragraph(...sentences: readonly string[]): string {
  return wrap(sentences.join(' '), 100).join('\n')
}

/** Returns the values as bars between their minimum and maximum. */
export function sparkline(values: readonly number[]): string {
  const low = Math.min(...values)
  const range = Math.max(...values) - low
  const indexOf = (value: number): number => (range > 0 ? Math.round(((value - low) / range) * (BARS.length - 1)) : 0)
  return values.map(value => BARS[indexOf(value)]).join('')
}

function formatBytes(bytes: number): string {
  let scaled = bytes
  let prefix = 0
  for (; Math.abs(scaled) >= 1024 && prefix < BINARY_PREFIXES.length - 1; prefix++) scaled /= 1024
  const digits = prefix === 0 || Math.abs(scaled) >= 100 ? 0 : Math.abs(scaled) >= 10 ? 1 : 2
  return `${scaled.toFixed(digits)} ${BINARY_PREFIXES[prefix]}B`
}
