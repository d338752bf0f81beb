import { describeFault, type Fault, type FaultFormat, type PlainResponse } from '../../../http/problem.ts'
import type { IngestResult } from '../../protocol.ts'
import { describeUnstored, skippedHeader, summarize } from '../rejections.ts'

const TEXT = { 'Content-Type': 'text/plain; charset=utf-8' } as const

/** Prometheus logs the first line of an error. */
function errorResponse(status: PlainResponse['status'], message: string, headers = {}): PlainResponse {
  return { status, headers: { ...TEXT, ...headers }, body: `${message}\n` }
}

/** Returns faults as a line of text. */
export const remoteWriteFault: FaultFormat = fault => {
  const { status, detail, headers } = describeFault(fault)
  return errorResponse(status, messageOf(fault, detail), headers)
}

function messageOf(fault: Fault, detail: string): string {
  return fault.kind === 'samples-not-stored' ? describeUnstored(fault) : detail
}

/**
 * Returns 204 if nothing was rejected, else 400, on which senders drop the request: another attempt
 * cannot succeed. What was valid is stored.
 */
export function remoteWriteResponse({ accepted, rejections, skipped, keyPrefix }: IngestResult): PlainResponse {
  const headers = skippedHeader(skipped)
  if (rejections.length === 0) return { status: 204, headers, body: '' }
  if (accepted === 0 && rejections.every(({ rule }) => rule === 'forbidden')) {
    return errorResponse(403, `the API key may write only keys that begin with ${JSON.stringify(keyPrefix)}`, headers)
  }
  const start = accepted > 0 ? `partial write: ${accepted} samples are stored, ${rejections.length} rejected: ` : ''
  return errorResponse(400, `${start}${summarize(rejections)}`, headers)
}
