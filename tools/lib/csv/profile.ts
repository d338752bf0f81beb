import type { Sample } from '@tidemark/shared/sample/sample'

const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000

/** Samples of a key from which on a constant value is worth a warning. */
const CONSTANT_MIN = 20
/** Samples before this year are older than most systems: their timestamps have another meaning. */
const PLAUSIBLE_FROM_MS = Date.UTC(1990, 0, 1)

interface KeyProfile {
  count: number
  /** The latest time so far, and the one of the sample before. */
  latest: number
  last: number
  first: number
  isConstant: boolean
  /** From the sample before the last one to the last one. */
  step: number
  /** The end of an hour that came twice, while it comes again. */
  againUntil: number
}

/** What can be said of the samples of a file: span, keys, and what looks wrong. */
export class Profile {
  samples = 0
  /** Cells without a value in files with a key per column. */
  missing = 0
  refused = 0
  from = Number.POSITIVE_INFINITY
  to = Number.NEGATIVE_INFINITY
  readonly #keys = new Map<string, KeyProfile>()
  #late = 0
  #back = 0
  #lateLine = 0
  #repeated = 0
  #again = 0
  readonly #hours = new Set<string>()
  /** Samples in an hour that comes twice, resolved by their order. */
  folded = 0
  /** Rows whose time has no zone. */
  local = 0
  /** Unix times whose unit is not that of the first ones. */
  otherUnits = 0

  get keys(): number {
    return this.#keys.size
  }

  add({ key, value, timestamp }: Sample, line: number, isLocal: boolean): void {
    this.samples++
    if (timestamp < this.from) this.from = timestamp
    if (timestamp > this.to) this.to = timestamp
    const known = this.#keys.get(key)
    if (known === undefined) {
      this.#keys.set(key, {
        count: 1,
        latest: timestamp,
        last: timestamp,
        first: value,
        isConstant: true,
        step: 0,
        againUntil: 0,
      })
      return
    }
    known.count++
    if (value !== known.first) known.isConstant = false
    if (timestamp < known.last) this.#back++
    if (timestamp < known.latest) this.#addLate(known, timestamp, line, isLocal)
    else {
      if (timestamp === known.againUntil) this.#again++
      else if (timestamp === known.last) {
        // With a sample an hour, the hour that comes twice is two samples of one time.
        if (isLocal && known.step === HOUR_MS && mayComeTwice(timestamp)) this.#addHour(timestamp)
        else this.#repeated++
      }
      known.latest = timestamp
    }
    known.step = timestamp - known.last
    known.last = timestamp
  }

  #addHour(timestamp: number): void {
    this.#again++
    this.#hours.add(hourOf(timestamp))
  }

  #addLate(known: KeyProfile, timestamp: number, line: number, isLocal: boolean): void {
    // A step back by an hour, less the usual step, in the night of a Sunday in spring or autumn.
    if (isLocal && known.last === known.latest && known.latest - timestamp < HOUR_MS && mayComeTwice(timestamp)) {
      known.againUntil = known.latest
      this.#hours.add(hourOf(timestamp))
    }
    if (timestamp <= known.againUntil && known.againUntil === known.latest) {
      this.#again++
      return
    }
    this.#late++
    if (this.#lateLine === 0) this.#lateLine = line
  }

  /** Returns what a person should know before trusting the samples, a sentence each. */
  warnings(now: number): string[] {
    const keys = [...this.#keys]
    const single = keys.filter(([, { count }]) => count === 1).length
    const constant = keys.filter(([, { count, isConstant }]) => isConstant && count >= CONSTANT_MIN)
    const n = (count: number): string => count.toLocaleString('en-US')
    const warnings: string[] = []
    if (keys.length > 1 && single * 2 > keys.length) {
      warnings.push(`${n(single)} of ${n(keys.length)} keys have one sample: is the key column right? --key names it`)
    }
    if (this.samples > 0 && this.from < PLAUSIBLE_FROM_MS) {
      warnings.push(`the first sample is of ${isoDay(this.from)}: is the time column right? --time, --time-format`)
    }
    if (this.samples > 0 && this.to > now + DAY_MS) {
      warnings.push(
        `the last sample is of ${isoDay(this.to)}, in the future: is the time column right? --time, --time-format`,
      )
    }
    if (this.otherUnits > 0)
      warnings.push(`${n(this.otherUnits)} of the Unix times have another unit than the first ones`)
    if (this.#back * 2 > this.samples)
      warnings.push('the newest samples come first; sort the file by time, because every sample but the first is late')
    else if (this.#late > 0) {
      warnings.push(
        `${n(this.#late)} of the samples are late: older than the sample of their key before them (first in line ${n(this.#lateLine)})`,
      )
    }
    if (this.#again > 0) {
      const [hour = ''] = this.#hours
      const more = this.#hours.size > 1 ? ` and ${this.#hours.size - 1} more` : ''
      warnings.push(
        `an hour comes twice, as at the end of summer time: ${hour}${more}; ${n(this.#again)} of the samples repeat it; --zone NAME resolves them`,
      )
    }
    if (this.#repeated * 10 > this.samples) {
      warnings.push(
        `${n(this.#repeated)} of the samples have the time of the sample of their key before them: is a key column missing? --key names it`,
      )
    } else if (this.#repeated > 0)
      warnings.push(`${n(this.#repeated)} of the samples have the time of the sample of their key before them`)
    if (constant.length > 0) {
      const [[first = ''] = []] = constant
      const more = constant.length > 1 ? ` and ${n(constant.length - 1)} more` : ''
      warnings.push(`${constant.length === 1 ? 'the value is' : 'the values are'} constant: ${first}${more}`)
    }
    return warnings
  }
}

function hourOf(time: number): string {
  return new Date(Math.floor(time / HOUR_MS) * HOUR_MS).toISOString().slice(0, 16).replace('T', ' ')
}

function isoDay(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}

/** Whether clocks may be set back at a local time: at night, on a Sunday, in spring or autumn. */
function mayComeTwice(local: number): boolean {
  const date = new Date(local)
  return date.getUTCDay() === 0 && date.getUTCHours() < 4 && [2, 3, 8, 9, 10].includes(date.getUTCMonth())
}
