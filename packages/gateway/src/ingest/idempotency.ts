import { createHash } from 'node:crypto'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { RequestMark } from '@tidemark/shared/store/ports/gateway'
import type { Body } from '../http/body.ts'
import { RequestFault } from '../http/problem.ts'
import type { RequestHeaders } from '../http/request-headers.ts'
import { keysRetryAfterS, outageRetryAfterS } from '../http/retry-after.ts'
import { FairBudget, type Share } from '../limits/fair-budget.ts'
import type { RejectionReason } from '../metrics.ts'
import type { Services } from '../services.ts'

const KEY_LENGTH_MAX = 255

/** A string of RFC 9651: printable ASCII in quotes; `\"` and `\\` are its only escapes. */
const QUOTED = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/

/** The same without quotes, as most clients send it. A comma would mean two joined headers. */
const UNQUOTED = /^[!#-+\--~](?:[ !#-+\--~]*[!#-+\--~])?$/

/**
 * How much longer than its claim the store remembers a request's sub-batches, which are appended
 * later. If they expired first, a retry just before the claim expires would be stored twice.
 */
const SUB_BATCHES_EXTRA_MS = 60_000

/** Claims for each mark in a partition, at most: partitions are 16 by default. */
const CLAIM_SHARE_MAX = 1 / 16

/** Returns the Idempotency-Key, or undefined. Throws a RequestFault for an invalid key. */
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

/**
 * Returns the requests with a key that can be sent each second for ever, if each has samples for
 * every partition: one mark in each, and its claim in one.
 */
export function keyedRequestsPerS(keysMax: number, ttlMs: number): number {
  return keysMax / ((ttlMs + SUB_BATCHES_EXTRA_MS) / 1000) / (1 + CLAIM_SHARE_MAX)
}

interface ClaimsOptions {
  readonly ttlMs: number
  /** Samples of all requests whose claims wait for the store. */
  readonly samplesMax: number
  /** Called with the samples that are rejected here. */
  readonly onRejected: (reason: RejectionReason, samples: number) => void
}

interface ClaimedRequest extends Body {
  readonly key: string
  /** Valid samples of the body. */
  readonly samples: number
  /** What its client has waiting. */
  readonly share: Share
}

/**
 * Makes requests with an Idempotency-Key safe to retry through any gateway. The returned function
 * claims the key for the body in the store, and resolves to the mark of the request's sub-batches.
 * Rejects with a RequestFault when the key belongs to another body or the claim is not accepted.
 */
export function createClaims({ ttlMs, samplesMax, onRejected }: ClaimsOptions) {
  const waiting = new FairBudget(samplesMax)

  return async (
    { store, drainRate }: Pick<Services, 'store' | 'drainRate'>,
    { key, format, text, bytes, samples, share }: ClaimedRequest,
  ): Promise<RequestMark | undefined> => {
    function reject(reason: RejectionReason, why: string, retryAfterS: number): never {
      onRejected(reason, samples)
      throw new RequestFault({ kind: 'overloaded', reason: why, retryAfterS })
    }

    // There is nothing to store, so nothing can be stored twice.
    if (samples === 0) return undefined
    // These samples are not in the batcher's queue yet, so they have a bound of their own.
    if (waiting.used > 0 && !waiting.hasRoomFor(share, samples)) {
      reject('queue', 'too many samples wait for the store', outageRetryAfterS())
    }
    const name = digestOf(key)
    const content = digestOf(format, bytes ?? text)
    waiting.take(share, samples)
    try {
      const partition = partitionOf(key, store.partitions)
      const outcome = await store.gateway.claimRequest({ partition, name, content, ttlMs })
      switch (outcome.kind) {
        case 'new':
        case 'repeat':
          return { request: digestOf(name, content), ttlMs: ttlMs + SUB_BATCHES_EXTRA_MS }
        case 'conflict':
          throw new RequestFault({ kind: 'idempotency-key-reused' })
        case 'no-memory':
          return reject('memory', "the store's memory is at its limit", drainRate.retryAfterS(partition))
        case 'limit-reached':
          return reject('keys', 'the limit of kept Idempotency-Keys is reached', keysRetryAfterS(outcome.roomInMs))
      }
    } catch (error) {
      if (!(error instanceof RequestFault)) onRejected(error instanceof StoreError ? 'store' : 'internal', samples)
      throw error
    } finally {
      waiting.giveBack(share, samples)
    }
  }
}

/** Returns 132 bits of SHA-256: collisions are infeasible, and it takes half the memory. */
function digestOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:`).update(part)
  return hash.digest('base64url').slice(0, 22)
}
