import { scheduleOf } from './schedule.ts'

const TICK_MS = 20
/** The schedules of other processes are read every so many ticks. */
const READ_EVERY = 10

interface Delay {
  readonly at: number
  readonly ms: number
}

/**
 * Measures how late timers of this process fire, and how long other processes wait for a processor,
 * because of a busy machine or a busy process.
 */
export class EventLoopLag implements Disposable {
  readonly #pids: () => readonly number[]
  readonly #late: Delay[] = []
  readonly #waits = new Map<number, Delay[]>()
  readonly #waitedMs = new Map<number, number>()
  readonly #timer: NodeJS.Timeout
  #ticks = 0
  #dueAt = performance.now() + TICK_MS

  /** `pids` returns the processes that are watched at the time. */
  constructor(pids: () => readonly number[] = () => []) {
    this.#pids = pids
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  /**
   * Returns by how many ms all timers from `from` to `to` were late, plus the longest time for
   * which one of the other processes waited.
   */
  between(from: number, to: number): number {
    const sum = (delays: readonly Delay[]): number =>
      delays.reduce((total, { at, ms }) => (at > from && at - ms < to ? total + ms : total), 0)
    return sum(this.#late) + Math.max(0, ...[...this.#waits.values()].map(sum))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    const now = performance.now()
    if (now > this.#dueAt) this.#late.push({ at: now, ms: now - this.#dueAt })
    this.#dueAt = now + TICK_MS
    if (this.#ticks++ % READ_EVERY === 0) for (const pid of this.#pids()) this.#read(pid, now)
  }

  #read(pid: number, at: number): void {
    const waitedMs = scheduleOf(pid)?.waitedMs
    if (waitedMs === undefined) return
    const waits = this.#waits.get(pid) ?? []
    waits.push({ at, ms: waitedMs - (this.#waitedMs.get(pid) ?? waitedMs) })
    this.#waits.set(pid, waits)
    this.#waitedMs.set(pid, waitedMs)
  }
}
