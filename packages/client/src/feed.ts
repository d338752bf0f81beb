import { connectionError, responseError, TidemarkError } from './error.ts'
import { backoffMs, wait } from './retry.ts'
import { readServerEvents, type ServerEvent } from './server-events.ts'

/** The gateway sends heartbeats: a connection that is silent for longer is dead. */
const SILENCE_MS = 45_000

export type FeedStatus =
  | { readonly kind: 'open' }
  /** `error` is why; undefined if the gateway closed the connection. */
  | { readonly kind: 'waiting'; readonly error: TidemarkError | undefined; readonly retryMs: number }

export interface FeedEvent {
  /** Where to resume: for `lastEventId`. */
  readonly id: string | undefined
  readonly event: string
  readonly data: unknown
}

export interface FeedOptions {
  /** Resumes after this event. */
  readonly lastEventId?: string
  readonly signal?: AbortSignal
  /** Called when the feed is connected, and when it waits before it connects again. */
  readonly onStatus?: (status: FeedStatus) => void
  readonly silenceMs?: number
}

type Connect = (headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<Response>

/** Yields the events of connections that follow each other, each from where the last one ended. */
export async function* readFeed(connect: Connect, options: FeedOptions): AsyncGenerator<FeedEvent> {
  const { signal, onStatus, silenceMs = SILENCE_MS } = options
  let lastEventId = options.lastEventId
  /** The gateway's own wish, from its `retry:` field. */
  let retryMs: number | undefined
  let failures = 0
  const isEnded = (): boolean => signal?.aborted === true
  while (!isEnded()) {
    let error: TidemarkError | undefined
    const connection = new Connection(silenceMs, signal)
    try {
      const headers = {
        Accept: 'text/event-stream',
        ...(lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId }),
      }
      const response = await connect(headers, connection.signal)
      if (!response.ok) throw await responseError('GET /events', response)
      if (response.body === null) throw new TidemarkError('GET /events: no content', { status: response.status })
      onStatus?.({ kind: 'open' })
      for await (const event of readServerEvents(response.body, connection.noteLife)) {
        failures = 0
        if (event.retryMs !== undefined) retryMs = event.retryMs
        if (event.id !== undefined) lastEventId = event.id
        if (event.data !== undefined) yield toFeedEvent(event, event.data)
      }
    } catch (reason) {
      if (isEnded()) return
      error = reason instanceof TidemarkError ? reason : connectionError('GET /events', reason)
      if (!error.isTemporary) throw error
    } finally {
      connection.close()
    }
    // The first attempt comes soon: a gateway that restarts is replaced by another one at once.
    const delayMs = error?.retryAfterMs ?? (failures === 0 ? (retryMs ?? backoffMs(0)) : backoffMs(failures))
    failures++
    onStatus?.({ kind: 'waiting', error, retryMs: delayMs })
    await wait(delayMs, signal).catch(() => {})
  }
}

function toFeedEvent({ id, event }: ServerEvent, data: string): FeedEvent {
  try {
    return { id, event: event ?? 'message', data: JSON.parse(data) }
  } catch (cause) {
    throw new TidemarkError('GET /events: an event is not JSON', { status: 200, cause })
  }
}

/** Ends a connection by the caller's signal, or when it has been silent for too long. */
class Connection {
  readonly #abort = new AbortController()
  readonly #silenceMs: number
  readonly #caller: AbortSignal | undefined
  #timer: ReturnType<typeof setTimeout>

  constructor(silenceMs: number, caller: AbortSignal | undefined) {
    this.#silenceMs = silenceMs
    this.#caller = caller
    caller?.addEventListener('abort', this.#stop)
    this.#timer = setTimeout(this.#die, silenceMs)
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  readonly noteLife = (): void => {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#die, this.#silenceMs)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#caller?.removeEventListener('abort', this.#stop)
    this.#abort.abort()
  }

  readonly #stop = (): void => this.#abort.abort(this.#caller?.reason)
  readonly #die = (): void => this.#abort.abort(new Error(`nothing arrived for ${this.#silenceMs} ms`))
}
