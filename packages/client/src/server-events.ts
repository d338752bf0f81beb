/** A block of a text/event-stream. Without data it has only an id, or when to retry. */
export interface ServerEvent {
  readonly id?: string
  readonly event?: string
  readonly data?: string
  readonly retryMs?: number
}

/** Reads a text/event-stream (WHATWG HTML, 9.2.6). `onBytes` is called for comments too. */
export async function* readServerEvents(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void,
): AsyncGenerator<ServerEvent> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader()
  let rest = ''
  let block: { id?: string; event?: string; data?: string; retryMs?: number } = {}
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      onBytes()
      rest += value
      // A CR at the end may be the first half of a CRLF.
      const end = rest.endsWith('\r') ? rest.length - 1 : rest.length
      const lines = rest.slice(0, end).split(/\r\n|\n|\r/)
      rest = `${lines.pop()}${rest.slice(end)}`
      for (const line of lines) {
        if (line !== '') {
          addLine(block, line)
          continue
        }
        if (Object.keys(block).length > 0) yield block
        block = {}
      }
    }
  } finally {
    // Also if the caller ends the iteration. The connection may be broken already.
    await reader.cancel().catch(() => {})
  }
}

function addLine(block: { id?: string; event?: string; data?: string; retryMs?: number }, line: string): void {
  const colon = line.indexOf(':')
  if (colon === 0) return
  const name = colon < 0 ? line : line.slice(0, colon)
  const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
  if (name === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`
  else if (name === 'event') block.event = value
  else if (name === 'id' && !value.includes('\0')) block.id = value
  else if (name === 'retry' && /^\d+$/.test(value)) block.retryMs = Number(value)
}
