import { formatCount } from '../format.ts'
import { decompressed } from './compressed.ts'
import type { CsvItem, CsvParser } from './parser.ts'
import { describe, describeRest } from './report.ts'

/** Samples that a dry run shows. */
const SAMPLES_SHOWN = 10
/** Refused lines that are described; all are counted. */
const REFUSED_SHOWN = 10

/** Some items of a file, and the bytes of the file that were read to find them. */
export interface ReadBlock {
  readonly items: readonly CsvItem[]
  readonly bytes: number
}

/** An item and the bytes of the file that were read to find it. */
export type ReadItem = CsvItem & { readonly bytes: number }

/** Yields the items of a file, many at once, in its order. Throws a CsvProblem if it has none. */
export async function* readBlocks(chunks: AsyncIterable<Uint8Array>, parser: CsvParser): AsyncGenerator<ReadBlock> {
  let bytes = 0
  const counted = (async function* () {
    for await (const chunk of chunks) {
      bytes += chunk.length
      yield chunk
    }
  })()
  for await (const chunk of decompressed(counted)) {
    const items = parser.push(chunk)
    if (items.length > 0) yield { items, bytes }
  }
  yield { items: parser.end(), bytes }
}

/** Yields the items of a file one by one. */
export async function* readItems(chunks: AsyncIterable<Uint8Array>, parser: CsvParser): AsyncGenerator<ReadItem> {
  for await (const { items, bytes } of readBlocks(chunks, parser)) {
    for (const item of items) yield Object.assign(item, { bytes })
  }
}

/** Returns the report on a file that was read: its columns, counts and what looks wrong. */
export function reportLines(parser: CsvParser, defaultKey: string, now: number): string[] {
  const rest = describeRest(parser)
  return [
    ...describe(parser, defaultKey),
    ...(rest === '' ? [] : [rest]),
    ...parser.profile.warnings(now).map(warning => `WARNING: ${warning}`),
  ]
}

/** Reads a file, sends nothing, and returns the report with the first samples and refused lines. */
export async function dryRun(
  chunks: AsyncIterable<Uint8Array>,
  { parser, defaultKey, now }: { parser: CsvParser; defaultKey: string; now: number },
): Promise<{ text: string; samples: number }> {
  const samples: string[] = []
  const refused: string[] = []
  for await (const item of readItems(chunks, parser)) {
    if (item.kind === 'sample' && samples.length < SAMPLES_SHOWN) samples.push(JSON.stringify(toBody(item.sample)))
    if (item.kind === 'refused' && refused.length < REFUSED_SHOWN) refused.push(`line ${item.line}: ${item.reason}`)
  }
  const count = parser.profile.refused
  const more = count > refused.length ? [`... ${formatCount(count - refused.length)} more`] : []
  const lines = [
    ...reportLines(parser, defaultKey, now).map(line => `  ${line}`),
    ...(refused.length > 0
      ? [`Refused lines: ${formatCount(count)}`, ...[...refused, ...more].map(line => `  ${line}`)]
      : []),
    ...(samples.length > 0
      ? [
          samples.length === 1
            ? 'The sample, as it would be sent:'
            : `The first ${samples.length} samples, as they would be sent:`,
        ]
      : []),
    ...samples,
  ]
  return { text: lines.join('\n'), samples: parser.profile.samples }
}

/**
 * Times before this one are sent as text, because the gateway reads a small number as seconds, and
 * numbers up to 2040 in milliseconds may be the digits of a date.
 */
const NUMBERS_FROM_MS = 1e12

/** Returns a sample as it is sent to the gateway. */
export function toBody({ key, value, timestamp }: { key: string; value: number; timestamp: number }) {
  return { key, value, timestamp: timestamp < NUMBERS_FROM_MS ? new Date(timestamp).toISOString() : timestamp }
}
