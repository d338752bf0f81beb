import { type Signal, signal } from '@preact/signals'
import type { TidemarkError } from '@tidemark/client/error'
import { useEffect, useMemo } from 'preact/hooks'
import { outage, toFailure } from './api.ts'

/** A page that is not visible reads nothing, and after a failure reads come later. */
const FAILURE_PAUSE_MS = 2000

/** What a view shows: the newest value stays while a later read fails. */
export interface Resource<T> {
  readonly value: Signal<T | undefined>
  readonly failure: Signal<TidemarkError | undefined>
  /** Reads again at once. */
  readonly refresh: () => void
}

type Load<T> = (signal: AbortSignal) => Promise<T>

/**
 * Reads something now and every `everyMs` while the component is there. `inputs` are what `load`
 * depends on: when they change, it begins afresh.
 */
export function useResource<T>(load: Load<T>, everyMs: number, inputs: readonly unknown[]): Resource<T> {
  const poll = useMemo(() => new Poll(load, everyMs), inputs)
  useEffect(() => {
    poll.start()
    return () => poll.stop()
  }, [poll])
  return poll
}

class Poll<T> implements Resource<T> {
  readonly value = signal<T | undefined>(undefined)
  readonly failure = signal<TidemarkError | undefined>(undefined)
  readonly #load: Load<T>
  readonly #everyMs: number
  #stopped = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined
  #isLoading = false
  #isStale = false

  constructor(load: Load<T>, everyMs: number) {
    this.#load = load
    this.#everyMs = everyMs
  }

  start(): void {
    this.#stopped = new AbortController()
    document.addEventListener('visibilitychange', this.refresh)
    addEventListener('online', this.refresh)
    this.refresh()
  }

  stop(): void {
    this.#stopped.abort()
    clearTimeout(this.#timer)
    document.removeEventListener('visibilitychange', this.refresh)
    removeEventListener('online', this.refresh)
  }

  readonly refresh = (): void => {
    if (this.#stopped.signal.aborted || document.hidden) return
    clearTimeout(this.#timer)
    if (this.#isLoading) this.#isStale = true
    else void this.#read()
  }

  async #read(): Promise<void> {
    const { signal: stopped } = this.#stopped
    this.#isLoading = true
    this.#isStale = false
    let pauseMs = this.#everyMs
    try {
      const value = await this.#load(stopped)
      if (stopped.aborted) return
      this.value.value = value
      this.failure.value = undefined
      outage.value = undefined
    } catch (error) {
      if (stopped.aborted) return
      const failure = toFailure(error)
      this.failure.value = failure
      pauseMs = Math.max(this.#everyMs, failure.retryAfterMs ?? FAILURE_PAUSE_MS)
    } finally {
      this.#isLoading = false
    }
    this.#timer = setTimeout(this.refresh, this.#isStale ? 0 : pauseMs)
  }
}
