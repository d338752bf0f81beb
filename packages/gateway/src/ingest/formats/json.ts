import { parseJson } from '../../http/json-body.ts'
import type { Batch, BodyFault } from './batch.ts'
import { readDamaged } from './damaged.ts'
import { readItem } from './item.ts'

/**
 * Reads one object or an array. Of duplicate members the last counts. What is not JSON as a whole
 * may be NDJSON, objects in sequence, or JSON with a damage: then what is intact is read.
 */
export function readJson(text: string, batch: Batch): BodyFault {
  const body = parseJson(text)
  if (body === undefined) {
    const objects = readDamaged(text, batch)
    if (objects === 0) return { kind: 'malformed', reason: malformedReason(text) }
  } else if (Array.isArray(body)) return readItems(body, batch)
  else if (typeof body === 'object' && body !== null) readItem(body, 0, batch)
  else return { kind: 'malformed', reason: scalarReason(body) }
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

const EXPECTED = 'a JSON object such as {"key": "edge-17/rps", "value": 420} or an array of them'

function scalarReason(body: unknown): string {
  const isTwice = typeof body === 'string' && /^\s*[{[]/.test(body)
  return `the body must be a JSON object or an array of objects${isTwice ? ', and is a text: it was encoded twice' : ''}`
}

/** Says what a body without any object seems to be. */
function malformedReason(text: string): string {
  const start = text.trimStart().slice(0, 100)
  if (start.startsWith('<')) return `the body is XML or HTML, not ${EXPECTED}`
  if (/^\w+=[^\s,]*(?:&|$)/.test(start)) return `the body has form fields, not ${EXPECTED}`
  if (/^[^\s,=]+(?:,[^\s=]+=\S+)* \w+=/.test(start)) {
    return 'the body is InfluxDB line protocol: send it to POST /api/v2/write, or /write for version 1'
  }
  if (start.startsWith('[')) return 'the body is not valid JSON: its array has no readable object'
  return `the body is not valid JSON: it has no object, and must be ${EXPECTED}`
}
