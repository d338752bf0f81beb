import { EMPTY_DOCUMENT } from '@tidemark/shared/detection/rules/document'
import { RuleError } from '@tidemark/shared/detection/rules/rule'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { LoadedRules, RuleStore } from '@tidemark/shared/store/ports/rules'
import type { VerdictSettings } from '@tidemark/shared/verdict/analysis'
import type { Context } from '../context.ts'
import { attempt, repeat } from '../repeat.ts'

export interface RuleSourceOptions extends Context {
  readonly store: RuleStore
  readonly settings: VerdictSettings
  readonly pollMs: number
}

/**
 * The rules in force, which are those in the store, whatever their version: if Redis loses rules,
 * all analyzers go back to the ones that are left, as soon as they notice it. While the store is
 * unavailable or holds unreadable rules, the last rules stay in force.
 */
export class RuleSource implements AsyncDisposable {
  readonly #options: RuleSourceOptions
  readonly #polling: AsyncDisposable
  #current: RuleSet
  /** The rules that were loaded last, readable or not; before that, those of an empty store. */
  #seen = { version: 0, digest: '' }
  #hasLoaded = false
  /** The digest of a document that is garbled, so that it is reported once. */
  #garbled: string | undefined
  #running: Promise<void> = Promise.resolve()
  /** A check that has not begun, which later callers share. */
  #next: Promise<void> | undefined

  constructor(options: RuleSourceOptions) {
    const { settings, clock, pollMs } = options
    this.#options = options
    this.#current = new RuleSet(EMPTY_DOCUMENT, settings)
    this.#polling = repeat(() => attempt('loading the rules', () => this.#refresh(), options), clock, pollMs)
  }

  get current(): RuleSet {
    return this.#current
  }

  /**
   * Reads which rules are in force, and returns them. A partition that was scored by rules of the
   * version `scoredBy` is then never scored by older ones, unless Redis lost them, which is logged.
   * Rejects when the store is unavailable, and when no rules could ever be read.
   */
  async refreshed(scoredBy: number): Promise<RuleSet> {
    await this.#refresh()
    if (this.#seen.version < scoredBy) {
      const { version } = this.#seen
      this.#options.log.error({ version: scoredBy, found: version }, 'Redis lost rules by which samples were scored')
    }
    return this.#current
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#polling[Symbol.asyncDispose]()
  }

  /** Checks once more after a check that is running: that one may have read older rules. */
  #refresh(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined
        this.#running = this.#check()
        return this.#running
      })
    return this.#next
  }

  async #check(): Promise<void> {
    const { store, metrics, log } = this.#options
    const digest = await store.digest()
    if (digest === this.#seen.digest) {
      this.#hasLoaded = true
      return
    }
    try {
      this.#adopt(await store.load())
      this.#garbled = undefined
    } catch (error) {
      if (!(error instanceof StoreError && error.kind === 'fatal') || !this.#hasLoaded) throw error
      if (this.#garbled === digest) return
      this.#garbled = digest
      metrics.rulesUnreadable.inc()
      log.error({ err: error }, 'the rules are garbled; the previous version stays in force. Put a backup back')
    }
  }

  #adopt({ document, digest }: LoadedRules): void {
    const { settings, metrics, log } = this.#options
    const { version, rules } = document
    const was = this.#seen.version
    // Not at the start: nothing was in force then.
    if (this.#hasLoaded && this.#seen.digest !== '' && version <= was) {
      metrics.rulesLost.inc()
      log.error({ was, version }, 'Redis lost rules, or older ones were restored: those in Redis are in force now')
    }
    this.#seen = { version, digest }
    this.#hasLoaded = true
    try {
      this.#current = new RuleSet(document, settings)
      metrics.rulesVersion.set(version)
      metrics.rulesDigest.set(digestNumber(digest))
      log.info({ version, rules: rules.length, digest: digest.slice(0, DIGEST_SHOWN) }, 'rules loaded')
    } catch (error) {
      if (!(error instanceof RuleError)) throw error
      metrics.rulesUnreadable.inc()
      log.error({ err: error, version }, 'the rules are unreadable; the previous version stays in force')
    }
  }
}

/** Characters of a digest that people compare. */
const DIGEST_SHOWN = 12

/** Returns 48 bits of a digest, which a metric's float64 holds exactly; 0 without rules. */
function digestNumber(digest: string): number {
  return Number.parseInt(digest.slice(0, DIGEST_SHOWN) || '0', 16)
}
