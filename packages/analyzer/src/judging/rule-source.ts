import { EMPTY_DOCUMENT } from '@tidemark/shared/detection/rules/document'
import { RuleError } from '@tidemark/shared/detection/rules/rule'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { Clock } from '@tidemark/shared/runtime/clock'
import type { FailureLog } from '@tidemark/shared/runtime/logger'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import type { VerdictSettings } from '@tidemark/shared/verdict/analysis'
import type { Logger } from 'pino'
import type { AnalyzerMetrics } from '../metrics.ts'

export interface RuleSourceOptions {
  readonly store: RuleStore
  readonly settings: VerdictSettings
  readonly metrics: Pick<AnalyzerMetrics, 'rulesVersion' | 'rulesUnreadable' | 'storeErrors'>
  readonly log: Logger
  readonly logFailure: FailureLog
  readonly clock: Clock
  readonly pollMs: number
}

/**
 * The rules in force, asked for again and again: a change is known everywhere within `pollMs` and the time of a question. While
 * the store does not answer, those known last hold. Rules that this version cannot read are passed over, loudly.
 */
export class RuleSource implements AsyncDisposable {
  readonly #options: RuleSourceOptions
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #current: RuleSet
  /** The newest version that was loaded, whether it could be read or not. */
  #seen = 0
  #loading: Promise<void> | undefined

  constructor(options: RuleSourceOptions) {
    this.#options = options
    this.#current = new RuleSet(EMPTY_DOCUMENT, options.settings)
    this.#done = this.#poll()
  }

  get current(): RuleSet {
    return this.#current
  }

  /**
   * Those of that version or newer ones, or what is there of it if it cannot be read. Rejects when the store does not answer.
   * A store that knows less than was known before has lost rules: whoever asks goes on with what there is.
   */
  async atLeast(version: number): Promise<RuleSet> {
    // A load that began before the version was there may have missed it; one that began afterwards cannot have.
    for (let loads = 0; this.#seen < version && loads < 2; loads++) await this.#load()
    if (this.#seen < version) {
      this.#options.log.error({ version, found: this.#seen }, 'the store has lost rules that samples were judged by')
    }
    return this.#current
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #poll(): Promise<void> {
    const { store, metrics, logFailure, clock, pollMs } = this.#options
    while (!this.#stop.signal.aborted) {
      try {
        if ((await store.version()) > this.#seen) await this.#load()
      } catch (error) {
        metrics.storeErrors.inc()
        logFailure(error, 'the rules could not be asked for')
      }
      await clock.pause(pollMs, this.#stop.signal)
    }
  }

  /** One at a time: all who want newer rules wait for the same answer. */
  #load(): Promise<void> {
    this.#loading ??= this.#loadOnce().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #loadOnce(): Promise<void> {
    const { store, settings, metrics, log } = this.#options
    const document = await store.document()
    if (document.version <= this.#seen) return
    this.#seen = document.version
    try {
      this.#current = new RuleSet(document, settings)
      metrics.rulesVersion.set(document.version)
      log.info({ version: document.version, rules: document.rules.length }, 'rules loaded')
    } catch (error) {
      if (!(error instanceof RuleError)) throw error
      metrics.rulesUnreadable.inc()
      log.error({ err: error, version: document.version }, 'the rules cannot be read; those before stay in force')
    }
  }
}
