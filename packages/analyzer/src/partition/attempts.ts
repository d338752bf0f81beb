import type { EntryId } from '@tidemark/shared/sample/receipt'
import type { AnalyzerStore, Attempt } from '@tidemark/shared/store/ports/analyzer'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Logger } from 'pino'

/** After this many attempts that ended with a crash, an entry becomes a dead letter. */
export const ATTEMPTS_MAX = 3

/** Characters of an error in the reason of a dead letter. */
const ERROR_LENGTH_MAX = 300

interface AttemptsOptions {
  readonly store: Pick<AnalyzerStore, 'noteAttempt' | 'withdrawAttempt'>
  readonly lease: Lease
  readonly log: Logger
}

/** Counts attempts to process a pending entry in the store, where the count survives a crash. */
export class Attempts {
  readonly #options: AttemptsOptions
  /** The newest attempt that neither failed nor was withdrawn. */
  #begun: Attempt | undefined
  /** Whether a commit has ended it. */
  #isCommitted = false
  /** Of this process; the crashes of others left none. */
  #lastError: string | undefined

  constructor(options: AttemptsOptions) {
    this.#options = options
  }

  /** Begins an attempt, number `count`; false when the lease is not ours. */
  begin(id: EntryId, count: number): Promise<boolean> {
    const { store, lease } = this.#options
    // Kept before the request: if its response is lost, the store may hold the attempt.
    this.#begun = { id, count }
    this.#isCommitted = false
    return store.noteAttempt(lease, this.#begun)
  }

  /**
   * The commit ended the attempt and removed it from the store. It comes back when the store loses
   * that commit, so it is still known.
   */
  end(): void {
    this.#isCommitted = true
  }

  /** The attempt ended as a crash would: it stays in the store, and the next one counts on. */
  fail(error: unknown): void {
    this.#begun = undefined
    this.#lastError = String(error).slice(0, ERROR_LENGTH_MAX)
  }

  /** Why an entry that was attempted so often becomes a dead letter. */
  reasonAfter(count: number): string {
    const what = `poison entry: its analyzer crashed ${count} times while processing it`
    return this.#lastError === undefined ? what : `${what}; the last error: ${this.#lastError}`
  }

  /**
   * Withdraws an attempt that ended without a crash; one that a commit ended only in a recovery. If
   * this fails, the next call retries it.
   */
  async withdraw({ inRecovery = false } = {}): Promise<void> {
    const attempt = this.#begun
    if (attempt === undefined || (this.#isCommitted && !inRecovery)) return
    const { store, lease, log } = this.#options
    try {
      await store.withdrawAttempt(lease.partition, attempt)
      this.#begun = undefined
    } catch (error) {
      log.debug({ err: error, partition: lease.partition, attempt }, 'withdrawing an attempt failed')
    }
  }
}
