import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { pauseUntilNext } from '../runtime/lifecycle.ts'
import type { FailureLog } from '../runtime/logger.ts'
import type { ProcessReport, ProcessStore } from '../store/ports/processes.ts'
import { describeDisagreement, disagreementsIn, encodeSettings, type SharedSettings } from './settings-report.ts'

/** A process counts as running until it has missed three reports. */
const TTL_MS = 10_000
const REPORT_MS = 3000

export interface PresenceOptions {
  readonly store: ProcessStore
  /** The wanted name; another is taken while another process has it. */
  readonly name: string
  /** Where the name comes from, if an operator set it. */
  readonly nameSetting?: string
  readonly settings: SharedSettings
  readonly log: Logger
  readonly logFailure: FailureLog
  /** Called after each report with the number of disagreements, and with all running processes. */
  readonly onCompared?: (disagreements: number, processes: readonly ProcessReport[]) => void
  readonly reportMs?: number
}

/**
 * Reports that this process runs, compares its settings with those of all others, and logs each
 * disagreement once. Ends with the reports of the processes that had another value, so a rolling
 * change settles by itself. Holds a name that no other running process has.
 */
export class Presence implements AsyncDisposable {
  readonly #options: PresenceOptions
  readonly #instance = randomUUID()
  readonly #stop = new AbortController()
  readonly #first = Promise.withResolvers<void>()
  readonly #done: Promise<void>
  #name: string
  /** By what is logged once: the sentence about it. */
  #warnings: ReadonlyMap<string, string> = new Map()

  constructor(options: PresenceOptions) {
    this.#options = options
    this.#name = options.name
    this.#done = this.#run()
  }

  /** Returns the name that this process has now; at the start, after the first report. */
  async name(): Promise<string> {
    await this.#first.promise
    return this.#name
  }

  /** What an operator should fix, in sentences. */
  get warnings(): string[] {
    return [...this.#warnings.values()]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
    await this.#attempt(() => this.#options.store.withdraw(this.#name))
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#attempt(() => this.#report())
      // Also after a failure: without Redis nothing can be compared, and the name does no harm.
      this.#first.resolve()
      await pauseUntilNext(this.#options.reportMs ?? REPORT_MS, this.#stop.signal)
    }
  }

  async #report(): Promise<void> {
    const { store, name, nameSetting = 'the name', settings, log, onCompared } = this.#options
    const report = (as: string): Promise<ProcessReport[] | undefined> =>
      store.report({ name: as, instance: this.#instance, content: encodeSettings(settings) }, TTL_MS)
    let reports = await report(this.#name)
    if (reports === undefined) {
      const taken = this.#name
      this.#name = `${name}-${this.#instance.slice(0, 8)}`
      log.warn(
        { taken, name: this.#name },
        `another running process has the name ${taken}, so this one takes another. ` +
          `Set ${nameSetting} to a different value in each process, or leave it out`,
      )
      reports = (await report(this.#name)) ?? []
    }
    const warnings = new Map<string, string>()
    if (reports.some(other => other.name === name && other.instance !== this.#instance)) {
      warnings.set('name', `${nameSetting} is ${name} in two running processes; this one has the name ${this.#name}`)
    }
    for (const found of disagreementsIn(reports)) {
      const { setting, values } = found
      const id = JSON.stringify([setting, ...[...values.keys()].toSorted()])
      warnings.set(id, describeDisagreement(found))
      if (this.#warnings.has(id)) continue
      log.warn(
        { setting, values: Object.fromEntries(values) },
        'running processes disagree on a setting; set one value',
      )
    }
    for (const [id, sentence] of this.#warnings) {
      if (!warnings.has(id)) log.info({ was: sentence }, 'running processes agree again')
    }
    this.#warnings = warnings
    onCompared?.(warnings.size, reports)
  }

  async #attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (error) {
      this.#options.logFailure(error, 'comparing the settings of running processes failed')
    }
  }
}
