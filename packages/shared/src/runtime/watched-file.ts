import { readFile, stat } from 'node:fs/promises'
import { pauseUntilNext } from './lifecycle.ts'

/** Thrown for a file with invalid content. Its message follows the file's name in a sentence. */
export class FileFault extends Error {}

/** A change must be in force everywhere within 2 s, a slow load included. */
export const POLL_MS = 500

/**
 * Returns a reader of a file that may change, such as a mounted Secret. Its `read` returns
 * undefined while the file is unchanged.
 */
export function createWatchedFile<T>(path: string, bytesMax: number, parse: (text: string) => T) {
  /** Identifies what was read last; symbolic links are followed. */
  let seen = ''
  return {
    async read(): Promise<T | undefined> {
      const { dev, ino, size, mtimeMs, ctimeMs } = await stat(path)
      const found = [dev, ino, size, mtimeMs, ctimeMs].join()
      if (found === seen) return undefined
      if (size > bytesMax) throw new FileFault(`has more than ${bytesMax} bytes`)
      // A file that cannot be parsed is read again: it may have been read while it was written.
      const content = parse(await readFile(path, 'utf8'))
      seen = found
      return content
    },
  }
}

/** Returns the sentence that says why a file could not be read, beginning with its name. */
export function fileFault(path: string, error: unknown): string {
  if (error instanceof FileFault) return `${path} ${error.message}`
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  return `${path} cannot be read (${code})`
}

/** Repeats an action, which must not reject, until the result is disposed of. */
export function poll(action: () => Promise<void>, everyMs = POLL_MS): AsyncDisposable {
  const stop = new AbortController()
  async function run(): Promise<void> {
    await pauseUntilNext(everyMs, stop.signal)
    while (!stop.signal.aborted) {
      await action()
      await pauseUntilNext(everyMs, stop.signal)
    }
  }
  const done = run()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await done
    },
  }
}
