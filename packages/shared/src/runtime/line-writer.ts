import fs from 'node:fs'

/** Lines that cannot be written wait; beyond this they are dropped. */
const UNWRITTEN_BYTES_MAX = 4 * 1024 * 1024

/** What is written at once, unless a line is longer. */
const CHUNK_BYTES = 64 * 1024

/** A descriptor that does not block may have no room for a moment. A flush waits for a second. */
const AGAIN_MS = 20
const AGAIN_SYNC_MAX = 50

/** No one can read it any more: the reader has ended, or the descriptor is closed. */
const GONE = new Set(['EPIPE', 'EBADF'])

export interface LineWriter {
  write(line: string): void
  /** Writes the lines that wait before it returns, or as many as can be written now. */
  flushSync(): void
}

/**
 * Writes lines to a file descriptor while the process does other work, so neither a reader that is
 * slow or stalled nor a full disk disturbs it. What could not be written is tried again with the
 * next line and by `flushSync`. pino's own destination, in contrast, repeats a failed write in
 * `flushSync` until it succeeds, so that a process on a full disk never ends.
 */
export function createLineWriter(
  fd: number,
  { write, writeSync }: Pick<typeof fs, 'write' | 'writeSync'> = fs,
): LineWriter {
  let waiting: Buffer[] = []
  /** Of the lines that wait, and of what is being written. */
  let unwrittenBytes = 0
  let isWriting = false
  let isScheduled = false

  /** Takes lines of a chunk. */
  function take(): Buffer {
    let bytes = 0
    const end = waiting.findIndex((line, i) => {
      bytes += line.length
      return i > 0 && bytes > CHUNK_BYTES
    })
    return Buffer.concat(waiting.splice(0, end < 0 ? waiting.length : end))
  }

  /** Returns what was not written of a chunk. */
  function written(chunk: Buffer, bytes: number): Buffer {
    unwrittenBytes -= bytes
    return chunk.subarray(bytes)
  }

  function restore(chunk: Buffer, error: NodeJS.ErrnoException): void {
    waiting.unshift(chunk)
    if (!GONE.has(error.code ?? '')) return
    // What is being written in the meantime is counted when that ends.
    for (const lines of waiting) unwrittenBytes -= lines.length
    waiting = []
  }

  function writeNext(): void {
    isScheduled = false
    if (isWriting || waiting.length === 0) return
    isWriting = true
    const chunk = take()
    write(fd, chunk, (error, bytes) => {
      isWriting = false
      if (error !== null) {
        restore(chunk, error)
        if (isBusy(error)) setTimeout(writeNext, AGAIN_MS).unref()
        return
      }
      const rest = written(chunk, bytes)
      if (rest.length > 0) waiting.unshift(rest)
      writeNext()
    })
  }

  return {
    write(line) {
      const bytes = Buffer.from(line)
      if (unwrittenBytes + bytes.length <= UNWRITTEN_BYTES_MAX) {
        waiting.push(bytes)
        unwrittenBytes += bytes.length
      }
      if (isScheduled || isWriting) return
      isScheduled = true
      setImmediate(writeNext)
    },
    flushSync() {
      let again = 0
      while (waiting.length > 0) {
        let chunk = take()
        try {
          for (; chunk.length > 0; again = 0) chunk = written(chunk, writeSync(fd, chunk))
        } catch (error) {
          restore(chunk, error as NodeJS.ErrnoException)
          if (!isBusy(error as NodeJS.ErrnoException) || ++again > AGAIN_SYNC_MAX) return
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, AGAIN_MS)
        }
      }
    },
  }
}

function isBusy({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EAGAIN' || code === 'EBUSY'
}
