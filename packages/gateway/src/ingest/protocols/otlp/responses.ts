import { PbfWriter } from 'pbf'
import { describeFault, type Fault, type FaultFormat, type PlainResponse } from '../../../http/problem.ts'
import type { RequestHeaders } from '../../../http/request-headers.ts'
import type { IngestResult } from '../../protocol.ts'
import { describeUnstored, skippedHeader, summarize } from '../rejections.ts'

/** `google.rpc.Code` by status. */
const CODES: Readonly<Record<number, number>> = {
  400: 3,
  401: 16,
  403: 7,
  404: 5,
  405: 12,
  413: 3,
  415: 3,
  422: 3,
  429: 8,
  500: 13,
  503: 14,
}
const UNKNOWN = 2

/** Responses have the type of their request. */
export type MessageType = 'application/json' | 'application/x-protobuf'

export function messageTypeOf(headers: RequestHeaders): MessageType {
  return /protobuf/i.test(String(headers['content-type'] ?? '')) ? 'application/x-protobuf' : 'application/json'
}

function respond(
  type: MessageType,
  status: PlainResponse['status'],
  body: PlainResponse['body'],
  headers: Readonly<Record<string, string>> = {},
): PlainResponse {
  return { status, headers: { 'Content-Type': type, ...headers }, body }
}

/** Returns a `google.rpc.Status`. */
function errorResponse(
  type: MessageType,
  status: PlainResponse['status'],
  message: string,
  headers?: Readonly<Record<string, string>>,
): PlainResponse {
  const code = CODES[status] ?? UNKNOWN
  if (type === 'application/json') return respond(type, status, JSON.stringify({ code, message }), headers)
  const pbf = new PbfWriter()
  pbf.writeVarintField(1, code)
  pbf.writeStringField(2, message)
  return respond(type, status, bytesOf(pbf), headers)
}

/** Returns faults as OpenTelemetry's exporters read them. */
export const otlpFault: FaultFormat = (fault, path, requestHeaders) => {
  const { status, detail, headers } = describeFault(fault)
  return errorResponse(messageTypeOf(requestHeaders), status, messageOf(fault, detail, path), headers)
}

function messageOf(fault: Fault, detail: string, path: string): string {
  if (fault.kind === 'samples-not-stored') return describeUnstored(fault)
  return fault.kind === 'route-unknown' ? `${path} is not supported: only metrics are, by POST /v1/metrics.` : detail
}

/**
 * Returns 200 with what was rejected, which exporters log. 403 or 400 if nothing could be stored:
 * exporters drop the request then.
 */
export function otlpResponse(type: MessageType, result: IngestResult): PlainResponse {
  const { accepted, rejections, skipped, keyPrefix } = result
  const headers = skippedHeader(skipped)
  if (rejections.length === 0) return respond(type, 200, type === 'application/json' ? '{}' : '', headers)
  if (accepted === 0) {
    if (rejections.some(({ rule }) => rule !== 'forbidden')) {
      return errorResponse(type, 400, summarize(rejections), headers)
    }
    const message = `the API key may write only keys that begin with ${JSON.stringify(keyPrefix)}`
    return errorResponse(type, 403, message, headers)
  }
  const rejected = new Set(rejections.map(({ index }) => index)).size
  const message = summarize(rejections)
  if (type === 'application/json') {
    // Integers of 64 bits are texts.
    const partialSuccess = { rejectedDataPoints: String(rejected), errorMessage: message }
    return respond(type, 200, JSON.stringify({ partialSuccess }), headers)
  }
  const pbf = new PbfWriter()
  pbf.writeMessage(
    1,
    (_, inner) => {
      inner.writeVarintField(1, rejected)
      inner.writeStringField(2, message)
    },
    undefined,
  )
  return respond(type, 200, bytesOf(pbf), headers)
}

function bytesOf(pbf: PbfWriter): Uint8Array<ArrayBuffer> {
  return new Uint8Array(pbf.finish())
}
