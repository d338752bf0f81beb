import { describeFault, type Fault, type FaultFormat, type PlainResponse } from '../../../http/problem.ts'
import type { Rejection } from '../../formats/batch.ts'
import type { IngestResult } from '../../protocol.ts'
import { describeUnstored, skippedHeader, summarize } from '../rejections.ts'

/** Version 2 is `/api/v2/write`, version 1 `/write`: their errors differ. */
export type Version = 1 | 2

/** InfluxDB's error codes, by status. */
const CODES: Readonly<Record<number, string>> = {
  400: 'invalid',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not found',
  413: 'request too large',
  415: 'invalid',
  422: 'unprocessable entity',
  429: 'too many requests',
  500: 'internal error',
  503: 'unavailable',
}

const FAULT_CODES: { readonly [K in Fault['kind']]?: string } = { 'body-empty': 'empty value' }

interface InfluxError {
  readonly status: PlainResponse['status']
  readonly code: string
  readonly message: string
  /** Of the first line that was rejected, from 1. */
  readonly line?: number
  /** Every line that was rejected, from 1. */
  readonly rejected?: readonly { readonly line: number; readonly reason: string }[]
  readonly headers?: Readonly<Record<string, string>> | undefined
}

const FORMATS: Readonly<Record<Version, (error: InfluxError) => object>> = {
  1: ({ message, rejected }) => ({ error: message, rejected }),
  2: ({ code, message, line, rejected }) => ({ code, message, line, rejected }),
}

function errorResponse(version: Version, error: InfluxError): PlainResponse {
  return {
    status: error.status,
    headers: { 'Content-Type': 'application/json', ...error.headers },
    body: JSON.stringify(FORMATS[version](error)),
  }
}

/** Returns faults as InfluxDB's clients read them. */
export function influxFaults(version: Version): FaultFormat {
  return fault => {
    const { status, detail, headers } = describeFault(fault)
    const code = FAULT_CODES[fault.kind] ?? CODES[status] ?? 'invalid'
    return errorResponse(version, { status, code, message: messageOf(fault, detail), headers })
  }
}

function messageOf(fault: Fault, detail: string): string {
  return fault.kind === 'samples-not-stored' ? describeUnstored(fault) : detail
}

/**
 * Returns 204 if nothing was rejected, else 400, on which clients drop the lines: another attempt
 * cannot succeed. 403 only if the API key may write none of the keys: clients keep the lines then.
 */
export function influxResponse(version: Version, result: IngestResult): PlainResponse {
  const { accepted, rejections, skipped, keyPrefix } = result
  const [first] = rejections
  if (first === undefined) return { status: 204, headers: skippedHeader(skipped), body: '' }
  const headers = skippedHeader(skipped)
  if (accepted === 0 && rejections.every(({ rule }) => rule === 'forbidden')) {
    const message = `the API key may write only keys that begin with ${JSON.stringify(keyPrefix)}`
    return errorResponse(version, { status: 403, code: 'forbidden', message, headers })
  }
  return errorResponse(version, {
    status: 400,
    code: 'invalid',
    message: describe(rejections, accepted > 0),
    line: first.index + 1,
    rejected: rejections.map(({ index, reason }) => ({ line: index + 1, reason })),
    headers,
  })
}

/** Says which lines were rejected, in the words of InfluxDB. */
function describe(rejections: readonly Rejection[], isPartial: boolean): string {
  const all = summarize(rejections)
  return isPartial ? `partial write: ${all} dropped=${rejections.length}` : all
}
