import { isLostBy, type Loss } from './loss.ts'

/**
 * What a client knows of a sample that it sent.
 *
 *     accepted  202, or named as accepted in a 503
 *     refused   a 503 that says that it was not stored
 *     unknown   a 503 that leaves it open, or no answer: it may be stored or not
 */
export type Knowledge = 'accepted' | 'refused' | 'unknown'

export interface Attempt {
  readonly knowledge: Knowledge
  /** Where it is stored, when that is known. */
  readonly receipt: string | undefined
}

/** Every sample that was sent, by key and number, with what is known of it in the end. */
export type Attempts = ReadonlyMap<string, readonly Attempt[]>

export const UNKNOWN: Attempt = { knowledge: 'unknown', receipt: undefined }
export const REFUSED: Attempt = { knowledge: 'refused', receipt: undefined }

/**
 * What is known of a sample after the same request was sent again. A repeat gets the receipt of the first time, unless Redis
 * has lost the entry since, and the mark of the request with it: `breach` is told otherwise.
 */
export function afterRepeat(
  before: Attempt,
  now: Attempt,
  { losses, breach }: { readonly losses: readonly Loss[]; readonly breach: (text: string) => void },
): Attempt {
  const isGone = before.receipt !== undefined && losses.some(loss => isLostBy(loss, before.receipt ?? ''))
  switch (now.knowledge) {
    case 'accepted':
      if (before.receipt !== undefined && before.receipt !== now.receipt && !isGone) {
        breach(`I7: a repeat was answered with ${now.receipt}, and the request before it with ${before.receipt}`)
      }
      return now
    case 'unknown':
      return before.knowledge === 'accepted' && !isGone ? before : now
    case 'refused':
      // That it was not stored now says nothing of the time before.
      return before
  }
}
