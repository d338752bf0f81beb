import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import { jsonType } from '../../http/body.ts'
import { type PlainResponse, RequestFault } from '../../http/problem.ts'
import { nameSample } from '../formats/batch.ts'
import { readJson } from '../formats/json.ts'
import { readNdjson } from '../formats/ndjson.ts'
import type { Protocol } from '../protocol.ts'

/** A problem explains at most this many errors; its `rejected` lists all of them. */
const ERRORS_MAX = 20

const JSON_TYPE = { 'Content-Type': 'application/json' } as const

/** `POST /ingest`: JSON in all formats that `formats/` reads. */
export const JSON_PROTOCOL: Protocol = {
  name: 'json',
  typeOf: jsonType,
  nameOf: nameSample,
  read: ({ text, format }, batch) => (format === 'ndjson' ? readNdjson(text, batch) : readJson(text, batch)),
  respond({ accepted, rejections, skipped, receipts, keyPrefix, durability }) {
    if (rejections.length === 0 && skipped.size === 0) return acceptedAll(accepted, receipts, durability)
    const rejected = rejections.map(({ index, reason }) => ({ index, reason }))
    const result = { accepted, rejected, receipts, skipped: skipped.size > 0 ? Object.fromEntries(skipped) : undefined }
    if (accepted === 0 && rejections.some(({ rule }) => rule === 'forbidden')) {
      throw new RequestFault({ kind: 'key-forbidden', keyPrefix, members: result })
    }
    if (accepted === 0 && rejected.length > 0) {
      const errors = rejected.slice(0, ERRORS_MAX).map(({ index, reason }) => ({ index, detail: reason }))
      const isAtLimit = rejections.some(({ rule }) => rule === 'keys_max')
      throw new RequestFault({ kind: isAtLimit ? 'keys-limit-reached' : 'samples-invalid', errors, members: result })
    }
    return { status: 202, headers: JSON_TYPE, body: JSON.stringify({ ...result, durability }) }
  },
}

/** What nearly every request gets. No text in it needs escapes, and JSON.stringify is slower. */
function acceptedAll(accepted: number, receipts: readonly string[], durability: DurabilityLevel): PlainResponse {
  const listed = receipts.length === 0 ? '' : `"${receipts.join('","')}"`
  const body = `{"accepted":${accepted},"rejected":[],"receipts":[${listed}],"durability":"${durability}"}`
  return { status: 202, headers: JSON_TYPE, body }
}
