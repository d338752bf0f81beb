import { createWatchedFile, FileFault, fileFault } from '@tidemark/shared/runtime/watched-file'

const BYTES_MAX = 16_384

const LINE = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([!-~](?:[ -~]*[!-~])?)$/

/** Headers that describe the body are the sink's own. */
const OWN = /^(?:content-|host$|transfer-encoding$|connection$|x-prometheus-remote-write-version$)/i

/** The headers of SINK_HEADERS_FILE, as the file is now. Their values are secret. */
export class SinkHeaders {
  readonly #path: string | undefined
  readonly #file: { read(): Promise<Record<string, string> | undefined> } | undefined
  #headers: Readonly<Record<string, string>> = {}
  #isRead = false
  /** The values, and the tokens in them: the same array for ever, with what is secret now. */
  readonly secrets: string[] = []

  constructor(path: string | undefined) {
    this.#path = path
    this.#file = path === undefined ? undefined : createWatchedFile(path, BYTES_MAX, parseHeaders)
  }

  /**
   * Returns the headers. While a file that was read before cannot be used, its last headers apply,
   * and `onFault` gets the reason; a file that was never read throws it.
   */
  async current(onFault: (error: Error) => void): Promise<Readonly<Record<string, string>>> {
    try {
      const headers = await this.#file?.read()
      if (headers !== undefined) {
        this.#headers = headers
        const values = Object.values(headers)
        this.secrets.splice(0, Number.POSITIVE_INFINITY, ...values, ...values.flatMap(value => value.split(' ')))
      }
      this.#isRead = true
    } catch (error) {
      const fault = new Error(`SINK_HEADERS_FILE: ${fileFault(this.#path ?? '', error)}`, { cause: error })
      if (!this.#isRead) throw fault
      onFault(fault)
    }
    return this.#headers
  }
}

/** Parses lines such as `Authorization: Bearer abc`. Empty lines and those with # are left out. */
export function parseHeaders(text: string): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [, name, value] = LINE.exec(line.trim()) ?? []
    if (name === undefined || value === undefined) {
      throw new FileFault(`has no header in line ${i + 1}: write "Name: value", such as "Authorization: Bearer TOKEN"`)
    }
    if (OWN.test(name)) throw new FileFault(`sets ${name} in line ${i + 1}, which the sink sets itself: leave it out`)
    headers[name] = value
  }
  return headers
}
