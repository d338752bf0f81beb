import { randomUUID } from 'node:crypto'
import type { Sample } from '@tidemark/shared/sample/sample'
import type { Random } from '@tidemark/testkit/random'

const SHAPES = ['array', 'ndjson', 'form', 'device'] as const

/** One sample alone, or one of the shapes that take any number. */
export type Shape = 'sample' | (typeof SHAPES)[number]

/** A client that gets no answer within this gives up. */
const ANSWER_WITHIN_MS = 15_000

/** What a client sends, and sends again as it was when it has an Idempotency-Key. */
export interface IngestRequest {
  readonly samples: readonly Sample[]
  readonly shape: Shape
  readonly body: string
  readonly type: string
  /** Undefined when it must not be sent again. */
  readonly idempotencyKey: string | undefined
}

/** What the gateway says of a request, where it says anything. */
export interface IngestResult {
  readonly accepted?: number
  readonly rejected?: readonly { readonly index: number; readonly reason: string }[]
  readonly receipts?: readonly string[]
  readonly durability?: string
}

export type Answer =
  | { readonly kind: 'broken'; readonly error: string }
  | {
      readonly kind: 'answered'
      readonly status: number
      readonly retryAfter: string | null
      readonly result: IngestResult
    }

export interface RequestOptions {
  readonly writer: number
  readonly samples: readonly Sample[]
  readonly isRepeatable: boolean
  readonly random: Random
}

export function makeRequest({ writer, samples, isRepeatable, random }: RequestOptions): IngestRequest {
  const shape = samples.length === 1 ? 'sample' : random.pick(SHAPES)
  const idempotencyKey = isRepeatable ? randomUUID() : undefined
  return { samples, shape, idempotencyKey, ...bodyOf(shape, writer, samples) }
}

/** Posts a request to the gateway at `port` of this computer. */
export async function post({ body, type, idempotencyKey }: IngestRequest, port: number): Promise<Answer> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/ingest`, {
      method: 'POST',
      body,
      headers: {
        'content-type': type,
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
      },
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    })
    const answer: unknown = await response.json()
    return {
      kind: 'answered',
      status: response.status,
      retryAfter: response.headers.get('retry-after'),
      result: typeof answer === 'object' && answer !== null ? answer : {},
    }
  } catch (error) {
    return { kind: 'broken', error: String(error) }
  }
}

function bodyOf(shape: Shape, writer: number, samples: readonly Sample[]): { body: string; type: string } {
  const lines = samples.map(sample => JSON.stringify(sample)).join('\n')
  switch (shape) {
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
