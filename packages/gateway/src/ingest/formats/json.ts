import { parseJson } from '../../http/json-body.ts'
import type { Batch, BodyFault } from './batch.ts'
import { readItem } from './item.ts'
import { readNdjson } from './ndjson.ts'

/**
 * Reads one object or an array. Clients also send NDJSON as application/json, so a body that is not
 * JSON, but whose first line is, is read line by line. Of duplicate members the last counts.
 */
export function readJson(text: string, batch: Batch): BodyFault {
  const body = parseJson(text)
  if (body === undefined) {
    return isJsonLines(text) ? readNdjson(text, batch) : { kind: 'malformed', reason: 'the body is not valid JSON' }
  }
  if (Array.isArray(body)) return readItems(body, batch)
  if (typeof body !== 'object' || body === null) {
    return { kind: 'malformed', reason: 'the body must be a JSON object or an array of objects' }
  }
  readItem(body, 0, batch)
  return batch.isTooLarge ? { kind: 'too-many' } : undefined
}

function readItems(items: readonly unknown[], batch: Batch): BodyFault {
  if (items.length > batch.samplesMax) return { kind: 'too-many' }
  for (let index = 0; index < items.length; index++) {
    readItem(items[index], index, batch)
    // An item can hold many samples.
    if (batch.isTooLarge) return { kind: 'too-many' }
  }
  return undefined
}

/** Whether the text has several lines of which the first is an object. */
function isJsonLines(text: string): boolean {
  const body = text.trim()
  const end = body.indexOf('\n')
  return end !== -1 && body[0] === '{' && parseJson(body.slice(0, end)) !== undefined
}
