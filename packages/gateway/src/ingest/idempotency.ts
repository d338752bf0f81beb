import { createHash } from 'node:crypto'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Once } from '@tidemark/shared/store/ports/store'
import type { BodyFormat, RequestHeaders } from '../http/body.ts'
import { crowdedRetryAfterS, outageRetryAfterS, RequestFault } from '../http/problem.ts'
import type { RejectionReason } from '../metrics.ts'
import type { Services } from '../services.ts'

const KEY_LENGTH_MAX = 255

/** A string of RFC 9651 (structured fields): printable ASCII in quotes, where a quote or a backslash has a backslash before it. */
const QUOTED = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/

/** The same without quotes, as most clients send it. A comma would be that of two headers in one line. */
const UNQUOTED = /^[!#-+\--~](?:[ !#-+\--~]*[!#-+\--~])?$/

/**
 * How much longer than its claim a request's batches are remembered. They are appended after the claim was made, by as much
 * as requests wait in a gateway; were they forgotten first, a repeat just before the claim's end would be stored again.
 */
const BATCHES_OUTLIVE_MS = 60_000

/** The request's Idempotency-Key; undefined when it has none. Throws a RequestFault for one that breaks the rules. */
export function readIdempotencyKey(headers: RequestHeaders): string | undefined {
  const header = headers['idempotency-key']
  if (typeof header !== 'string') return undefined
  const key = keyIn(header.trim())
  if (key === undefined || key === '' || key.length > KEY_LENGTH_MAX) {
    throw new RequestFault({ kind: 'idempotency-key-invalid' })
  }
  return key
}

function keyIn(text: string): string | undefined {
  const quoted = QUOTED.exec(text)?.[1]
  if (quoted !== undefined) return quoted.replaceAll(/\\(["\\])/g, '$1')
  return UNQUOTED.test(text) ? text : undefined
}

export interface ClaimsOptions {
  readonly ttlMs: number
  /** Samples of requests whose claims are with the store, all requests together. */
  readonly samplesMax: number
  /** Told of samples that are refused here. */
  readonly onRefused: (reason: RejectionReason, samples: number) => void
}

export interface ClaimedRequest {
  readonly key: string
  readonly format: BodyFormat
  readonly text: string
  /** How many of the body's are to be stored. */
  readonly samples: number
}

/**
 * Makes requests with an Idempotency-Key such that they may come again, through any gateway: the store remembers what each
 * key stands for, and gives the mark that tells this request's batches from all others.
 * Rejects with a RequestFault when the key stands for another body, and when the store does not take it.
 */
export function createClaims({
  ttlMs,
  samplesMax,
  onRefused,
}: ClaimsOptions): (
  services: Pick<Services, 'store' | 'drainRate'>,
  request: ClaimedRequest,
) => Promise<Once | undefined> {
  let waiting = 0

  function refuse(reason: RejectionReason, samples: number, why: string, retryAfterS: number): never {
    onRefused(reason, samples)
    throw new RequestFault({ kind: 'overloaded', reason: why, retryAfterS })
  }

  return async ({ store, drainRate }, { key, format, text, samples }) => {
    // Nothing is to be stored, so nothing can be stored twice.
    if (samples === 0) return undefined
    // These samples wait before they count in the batcher's queue, so they are bounded by themselves.
    if (waiting > 0 && waiting + samples > samplesMax) {
      refuse('queue', samples, 'too many samples wait for the store', outageRetryAfterS())
    }
    const name = digestOf(key)
    const content = digestOf(format, text)
    waiting += samples
    try {
      const partition = partitionOf(key, store.partitions)
      const outcome = await store.gateway.claimRequest({ partition, name, content, ttlMs })
      switch (outcome.kind) {
        case 'new':
        case 'repeat':
          return { request: digestOf(name, content), ttlMs: ttlMs + BATCHES_OUTLIVE_MS }
        case 'conflict':
          throw new RequestFault({ kind: 'idempotency-key-reused' })
        case 'no-memory':
          return refuse('memory', samples, "the store's memory is at its limit", drainRate.retryAfterS(partition))
        case 'limit-reached':
          return refuse(
            'keys',
            samples,
            'too many requests with an Idempotency-Key are remembered',
            crowdedRetryAfterS(outcome.roomInMs),
          )
      }
    } catch (error) {
      if (!(error instanceof RequestFault)) onRefused('store', samples)
      throw error
    } finally {
      waiting -= samples
    }
  }
}

/** 132 bits of SHA-256: nobody finds two texts of the same digest, and it takes half the room. */
function digestOf(...parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:`).update(part)
  return hash.digest('base64url').slice(0, 22)
}
