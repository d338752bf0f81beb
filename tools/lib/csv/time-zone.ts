import { CsvProblem } from './problem.ts'

const HOUR_MS = 3_600_000
const QUARTER_MS = 900_000
const OFFSETS_KEPT = 4096

/** Converts local times of a zone to instants; the offsets come from the time zone database. */
export class TimeZone {
  readonly name: string
  readonly #format: Intl.DateTimeFormat
  readonly #offsets = new Map<number, number>()

  /** Throws a CsvProblem for an unknown zone. */
  constructor(name: string) {
    this.name = name
    try {
      const fields = { year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric' } as const
      this.#format = new Intl.DateTimeFormat('en-US', { timeZone: name, hourCycle: 'h23', era: 'short', ...fields })
    } catch (error) {
      throw new CsvProblem(`the time zone ${name} is unknown; use a name such as Europe/Berlin or UTC`, {
        cause: error,
      })
    }
  }

  /**
   * Returns the instants, in order, at which clocks show a local time, given as if it was UTC: none
   * in the hour that summer time skips, two in the hour that comes twice.
   */
  instantsOf(local: number): number[] {
    const offsets = new Set([this.#offsetAt(local - 14 * HOUR_MS), this.#offsetAt(local + 14 * HOUR_MS)])
    const instants = [...offsets].map(offset => local - offset)
    return instants.filter(instant => this.#offsetAt(instant) === local - instant).toSorted((a, b) => a - b)
  }

  #offsetAt(instant: number): number {
    // Zones change their offsets at full quarters of an hour.
    const quarter = Math.floor(instant / QUARTER_MS)
    const known = this.#offsets.get(quarter)
    if (known !== undefined) return known
    if (this.#offsets.size >= OFFSETS_KEPT) this.#offsets.clear()
    const at = quarter * QUARTER_MS
    const parts = Object.fromEntries(this.#format.formatToParts(at).map(({ type, value }) => [type, value]))
    const { year, month, day, hour, minute } = parts
    const offset = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute)) - at
    this.#offsets.set(quarter, offset)
    return offset
  }
}
