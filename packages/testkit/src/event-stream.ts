/** An event as a browser's EventSource dispatches it. */
export interface ServerSentEvent {
  readonly type: string
  readonly data: string
  /** The last id that the stream had up to this event. */
  readonly id: string
}

/** Parses a stream of server-sent events as the HTML standard says. */
export class EventStreamParser {
  /** The last id, also of a block without data. */
  lastId: string
  /** Milliseconds. */
  retryMs: number | undefined
  readonly comments: string[] = []
  #rest = ''
  #decoder = new TextDecoder()
  #type = ''
  #data: string[] = []

  constructor(lastId = '') {
    this.lastId = lastId
  }

  /** Returns the events that are complete with these bytes. */
  push(bytes: Uint8Array): ServerSentEvent[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n')
    this.#rest = lines.pop() ?? ''
    return lines.flatMap(line => this.#line(line) ?? [])
  }

  #id: string | undefined

  #line(line: string): ServerSentEvent | undefined {
    if (line === '') return this.#dispatch()
    const colon = line.indexOf(':')
    if (colon === 0) this.comments.push(line.slice(1).trim())
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'event') this.#type = value
    if (name === 'data') this.#data.push(value)
    if (name === 'id') this.#id = value
    if (name === 'retry') this.retryMs = Number(value)
    return undefined
  }

  #dispatch(): ServerSentEvent | undefined {
    this.lastId = this.#id ?? this.lastId
    const [type, data] = [this.#type || 'message', this.#data.join('\n')]
    const isEmpty = this.#data.length === 0
    this.#type = ''
    this.#data = []
    return isEmpty ? undefined : { type, data, id: this.lastId }
  }
}
