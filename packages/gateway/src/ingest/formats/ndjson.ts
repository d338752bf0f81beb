import { parseJson } from '../../http/json-body.ts'
import type { Batch, BodyFault } from './batch.ts'
import { readDamaged } from './damaged.ts'
import { readItem } from './item.ts'

/**
 * Reads one object or one array of them per line. Indexes are lines, counting blank ones. From the
 * first line that is not JSON, the rest is read as damaged text.
 */
export function readNdjson(text: string, batch: Batch): BodyFault {
  let index = 0
  for (let start = 0; start < text.length; index++) {
    const newline = text.indexOf('\n', start)
    const end = newline === -1 ? text.length : newline
    const line = text.slice(start, end).trim()
    if (line !== '') {
      const item = parseJson(line)
      if (item === undefined) {
        readDamaged(text, batch, { start, isLines: true })
        break
      }
      if (Array.isArray(item)) for (const one of item) readItem(one, index, batch)
      else readItem(item, index, batch)
    }
    if (batch.isTooLarge) break
    start = end + 1
  }
  return batch.isTooLarge ? { kind: 'too-many' } : undefined
}
