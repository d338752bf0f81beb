import type { Batch, BodyFault } from './batch.ts'
import { readItem } from './item.ts'

/**
 * Reads a body with one object per line. An item's index is its line, counted from 0 with blank
 * lines. A line that is not JSON is one rejected item and does not affect the others.
 */
export function readNdjson(text: string, batch: Batch): BodyFault {
  let index = 0
  for (let start = 0; start < text.length; index++) {
    const newline = text.indexOf('\n', start)
    const end = newline === -1 ? text.length : newline
    const line = text.slice(start, end).trim()
    start = end + 1
    if (line === '') continue
    readLine(line, index, batch)
    if (batch.isTooLarge) return { kind: 'too-many' }
  }
  return undefined
}

function readLine(line: string, index: number, batch: Batch): void {
  let item: unknown
  try {
    item = JSON.parse(line)
  } catch {
    batch.reject({ index }, 'shape', 'must be valid JSON')
    return
  }
  readItem(item, index, batch)
}
