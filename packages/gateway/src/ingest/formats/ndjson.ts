import { parseJson } from '../../http/json-body.ts'
import type { Batch, BodyFault } from './batch.ts'
import { readItem } from './item.ts'

/** Reads one object per line. Indexes count blank lines; a line without JSON is one rejection. */
export function readNdjson(text: string, batch: Batch): BodyFault {
  let index = 0
  for (let start = 0; start < text.length; index++) {
    const newline = text.indexOf('\n', start)
    const end = newline === -1 ? text.length : newline
    const line = text.slice(start, end).trim()
    start = end + 1
    if (line === '') continue
    const item = parseJson(line)
    if (item === undefined) batch.reject({ index }, 'shape', 'must be valid JSON')
    else readItem(item, index, batch)
    if (batch.isTooLarge) return { kind: 'too-many' }
  }
  return undefined
}
