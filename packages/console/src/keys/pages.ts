import { signal } from '@preact/signals'
import type { KeysQuery } from '@tidemark/client/client'
import type { KeyRow } from '@tidemark/client/types'
import { client, toFailure } from '../api.ts'

export const PAGE = 50

/** The values of a spark line. */
const VALUES = 40

/** Visible rows are read again so often; pages that were read longer ago are dropped. */
const AGAIN_MS = 2000
const KEPT_MAX = 40
const SCROLLING_MS = 60

/** The pages of a long list that are on the screen, read as it scrolls. */
export class Pages {
  /** Changes when rows were read. */
  readonly version = signal(0)
  readonly #filters: KeysQuery
  readonly #pages = new Map<number, readonly KeyRow[]>()
  readonly #stop = new AbortController()
  #wanted: readonly number[] = []
  #isReading = false
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(filters: KeysQuery) {
    this.#filters = filters
  }

  /** Sets which rows are on the screen. */
  show(first: number, last: number): void {
    const from = Math.floor(first / PAGE)
    this.#wanted = Array.from({ length: Math.floor(last / PAGE) - from + 1 }, (_, i) => from + i)
    if (this.#wanted.every(page => this.#pages.has(page))) return
    // While it scrolls fast, what is passed is not read.
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#read, this.#pages.size === 0 ? 0 : SCROLLING_MS)
  }

  /** Undefined if it is not read yet. */
  at(index: number): KeyRow | undefined {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE]
  }

  close(): void {
    this.#stop.abort()
    clearTimeout(this.#timer)
  }

  readonly #read = (): void => {
    if (this.#isReading || this.#stop.signal.aborted) return
    clearTimeout(this.#timer)
    if (document.hidden) this.#timer = setTimeout(this.#read, AGAIN_MS)
    else void this.#readWanted()
  }

  async #readWanted(): Promise<void> {
    this.#isReading = true
    const { signal: stopped } = this.#stop
    // What is not there yet comes first.
    const wanted = [...this.#wanted].sort((a, b) => Number(this.#pages.has(a)) - Number(this.#pages.has(b)))
    let pauseMs = AGAIN_MS
    try {
      for (const page of wanted) {
        const query = { ...this.#filters, offset: page * PAGE, limit: PAGE, values: VALUES }
        const { keys } = await client.keys(query, { signal: stopped })
        this.#pages.delete(page)
        this.#pages.set(page, keys)
        const [oldest] = this.#pages.keys()
        if (this.#pages.size > KEPT_MAX && oldest !== undefined) this.#pages.delete(oldest)
        this.version.value++
      }
    } catch (error) {
      if (stopped.aborted) return
      pauseMs = Math.max(pauseMs, toFailure(error).retryAfterMs ?? 0)
    } finally {
      this.#isReading = false
    }
    const isMissing = this.#wanted.some(page => !this.#pages.has(page))
    this.#timer = setTimeout(this.#read, isMissing && pauseMs === AGAIN_MS ? 0 : pauseMs)
  }
}
