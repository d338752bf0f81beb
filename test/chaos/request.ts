import { randomUUID } from 'node:crypto'
import type { Sample } from '@tidemark/shared/sample/sample'
import type { Random } from '@tidemark/testkit/random'
import { AUTHORIZATION } from './api-key.ts'

const FORMATS = ['array', 'ndjson', 'form', 'device'] as const

/** One sample, or a format for any number of samples. */
export type Format = 'sample' | (typeof FORMATS)[number]

/** How long a client waits for a response. */
const RESPONSE_TIMEOUT_MS = 15_000

/** A request, which is retried unchanged if it has an Idempotency-Key. */
export interface IngestRequest {
  readonly samples: readonly Sample[]
  readonly format: Format
  readonly body: string
  readonly type: string
  /** Undefined if the request must not be retried. */
  readonly idempotencyKey: string | undefined
}

/** The body of a response. */
export interface IngestResult {
  readonly accepted?: number
  readonly rejected?: readonly { readonly index: number; readonly reason: string }[]
  readonly receipts?: readonly string[]
  readonly durability?: string
}

export type IngestResponse =
  | { readonly kind: 'broken'; readonly error: string }
  | {
      readonly kind: 'completed'
      readonly status: number
      readonly retryAfter: string | null
      readonly result: IngestResult
    }

export interface RequestOptions {
  readonly writer: number
  readonly samples: readonly Sample[]
  readonly isIdempotent: boolean
  readonly random: Random
}

export function makeRequest({ writer, samples, isIdempotent, random }: RequestOptions): IngestRequest {
  const format = samples.length === 1 ? 'sample' : random.pick(FORMATS)
  const idempotencyKey = isIdempotent ? randomUUID() : undefined
  return { samples, format, idempotencyKey, ...bodyOf(format, writer, samples) }
}

/** Posts a request to the local gateway at `port`. */
export async function post({ body, type, idempotencyKey }: IngestRequest, port: number): Promise<IngestResponse> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/ingest`, {
      method: 'POST',
      body,
      headers: {
        ...AUTHORIZATION,
        'content-type': type,
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
      },
      signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS),
    })
    const result: unknown = await response.json()
    return {
      kind: 'completed',
      status: response.status,
      retryAfter: response.headers.get('retry-after'),
      result: typeof result === 'object' && result !== null ? result : {},
    }
  } catch (error) {
    return { kind: 'broken', error: String(error) }
  }
}

function bodyOf(format: Format, writer: number, samples: readonly Sample[]): { body: string; type: string } {
  const lines = samples.map(sample => JSON.stringify(sample)).join('\n')
  switch (format) {
    case 'sample':
      return { body: lines, type: 'application/json' }
    case 'array':
      return { body: JSON.stringify(samples), type: 'application/json' }
    case 'ndjson':
      return { body: `${lines}\n`, type: 'application/x-ndjson' }
    case 'form':
      return { body: lines, type: 'application/x-www-form-urlencoded' }
    case 'device': {
      const device = `edge-${writer}`
      const items = samples.map(({ key, value, timestamp }) => ({
        device,
        timestamp,
        metrics: { [key.slice(device.length + 1)]: value },
      }))
      return { body: JSON.stringify(items), type: 'application/json' }
    }
  }
}
