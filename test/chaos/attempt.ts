import { isLostBy, type Loss } from './loss.ts'

/**
 * What a client knows about a sample that it sent.
 *
 *     accepted  202, or listed as accepted in a 503
 *     rejected  a 503 that says the sample was not stored
 *     unknown   a 503 that leaves it open, or no response: it may or may not be stored
 */
export type AttemptOutcome = 'accepted' | 'rejected' | 'unknown'

export interface Attempt {
  readonly outcome: AttemptOutcome
  /** Where the sample is stored, if known. */
  readonly receipt: string | undefined
}

/** Every sample that was sent, by key and number, with what the client finally knows about it. */
export type Attempts = ReadonlyMap<string, readonly Attempt[]>

export const UNKNOWN: Attempt = { outcome: 'unknown', receipt: undefined }
export const REJECTED: Attempt = { outcome: 'rejected', receipt: undefined }

/**
 * Returns what is known about a sample after a retry of its request.
 * A retry must get the original receipt, unless Redis has since lost the entry and with it the
 * mark of the request. Otherwise `violation` is called.
 */
export function afterRetry(
  before: Attempt,
  now: Attempt,
  { losses, violation }: { readonly losses: readonly Loss[]; readonly violation: (text: string) => void },
): Attempt {
  const isGone = before.receipt !== undefined && losses.some(loss => isLostBy(loss, before.receipt ?? ''))
  switch (now.outcome) {
    case 'accepted':
      if (before.receipt !== undefined && before.receipt !== now.receipt && !isGone) {
        violation(`I7: a retry got the receipt ${now.receipt}, the original request ${before.receipt}`)
      }
      return now
    case 'unknown':
      return before.outcome === 'accepted' && !isGone ? before : now
    case 'rejected':
      // Not stored by the retry. The original request may still have stored it.
      return before
  }
}
