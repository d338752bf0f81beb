import { EMPTY_DOCUMENT } from '@tidemark/shared/detection/rules/document'
import { RuleError } from '@tidemark/shared/detection/rules/rule'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { RuleStore } from '@tidemark/shared/store/ports/rules'
import type { VerdictSettings } from '@tidemark/shared/verdict/analysis'
import type { Context } from '../context.ts'
import { attempt, repeat } from '../repeat.ts'

export interface RuleSourceOptions extends Context {
  readonly store: RuleStore
  readonly settings: VerdictSettings
  readonly pollMs: number
}

/**
 * The rules in force, loaded by polling. While the store is unavailable, the last rules stay in
 * force. Rules that this version cannot read are skipped, counted and logged.
 */
export class RuleSource implements AsyncDisposable {
  readonly #options: RuleSourceOptions
  readonly #polling: AsyncDisposable
  #current: RuleSet
  /** The newest version that was loaded, readable or not. */
  #seen = 0
  #loading: Promise<void> | undefined

  constructor(options: RuleSourceOptions) {
    const { settings, clock, pollMs } = options
    this.#options = options
    this.#current = new RuleSet(EMPTY_DOCUMENT, settings)
    this.#polling = repeat(() => attempt('loading the rules', () => this.#poll(), options), clock, pollMs)
  }

  get current(): RuleSet {
    return this.#current
  }

  /**
   * Returns the rules of that version or a newer one; the current rules if that version is
   * unreadable or the store has lost it. Rejects when the store is unavailable.
   */
  async atLeast(version: number): Promise<RuleSet> {
    // A load that began before the version was written may miss it; the next one cannot.
    for (let loads = 0; this.#seen < version && loads < 2; loads++) await this.#load()
    if (this.#seen < version) {
      this.#options.log.error({ version, found: this.#seen }, 'the store lost rules by which samples were scored')
    }
    return this.#current
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#polling[Symbol.asyncDispose]()
  }

  async #poll(): Promise<void> {
    if ((await this.#options.store.version()) > this.#seen) await this.#load()
  }

  /** Loads the rules once at a time: concurrent callers share the request. */
  #load(): Promise<void> {
    this.#loading ??= this.#loadOnce().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #loadOnce(): Promise<void> {
    const { store, settings, metrics, log } = this.#options
    const document = await store.document()
    const { version, rules } = document
    if (version <= this.#seen) return
    this.#seen = version
    try {
      this.#current = new RuleSet(document, settings)
      metrics.rulesVersion.set(version)
      log.info({ version, rules: rules.length }, 'rules loaded')
    } catch (error) {
      if (!(error instanceof RuleError)) throw error
      metrics.rulesUnreadable.inc()
      log.error({ err: error, version }, 'the rules are unreadable; the previous version stays in force')
    }
  }
}
