import { Client } from '@tidemark/client/client'
import type { TidemarkError } from '@tidemark/client/error'
import { backoffMs } from '@tidemark/client/retry'

const TIMEOUT_MS = 15_000
const RETRY_AFTER_MAX_MS = 60_000

/** Client errors that say nothing about the samples: credentials, a wrong address, the rate. */
const UNRELATED: ReadonlySet<number> = new Set([401, 403, 404, 405, 407, 408, 421, 425, 429])

/** Client errors with such a status that are about the keys of the samples. */
const ABOUT_KEYS: ReadonlySet<string | undefined> = new Set(['keys-limit-reached', 'key-forbidden'])

/** Creates a client of the gateway. A redirected POST would become a GET, so none is followed. */
export function createGatewayClient(url: string, apiKey: () => string | undefined): Client {
  const send: typeof fetch = (input, init) => fetch(input, { ...init, redirect: 'manual' })
  return new Client({ url, apiKey, timeoutMs: TIMEOUT_MS, fetch: send })
}

/**
 * Whether the gateway refuses the samples themselves, so that to repeat the request could not help.
 * Everything else may pass: outages, and credentials or an address that an operator corrects.
 */
export function isRefusal({ status, kind }: TidemarkError): boolean {
  return status >= 400 && status < 500 && (ABOUT_KEYS.has(kind) || !UNRELATED.has(status))
}

/** Returns the pause after a failure, of which `attempt` were before it. */
export function pauseMs(error: TidemarkError, attempt: number): number {
  return Math.min(Math.max(error.retryAfterMs ?? 0, backoffMs(attempt)), RETRY_AFTER_MAX_MS)
}
