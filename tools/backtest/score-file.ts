import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { CsvItem } from '../lib/csv/parser.ts'
import { Failure } from '../lib/options.ts'

/** Writes `timestamp,value,anomaly_score` for each row, with unchanged timestamp and value. */
export class ScoreFile implements AsyncDisposable {
  readonly #output: WriteStream
  #hasHeader = false

  private constructor(output: WriteStream) {
    this.#output = output
  }

  static async create(path: string): Promise<ScoreFile> {
    await mkdir(dirname(path), { recursive: true })
    const output = createWriteStream(path)
    try {
      await once(output, 'open')
    } catch (error) {
      throw new Failure(`cannot write the scores to ${path}`, { cause: error })
    }
    return new ScoreFile(output)
  }

  async write({ time, value, key }: CsvItem, score: number): Promise<void> {
    if (!this.#hasHeader) {
      this.#hasHeader = true
      this.#output.write(`timestamp,value,anomaly_score${key === undefined ? '' : ',key'}\n`)
    }
    const cells = [time, value, String(score)]
    if (key !== undefined) cells.push(key)
    if (!this.#output.write(`${cells.map(quote).join(',')}\n`)) await once(this.#output, 'drain')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasHeader) this.#output.write('timestamp,value,anomaly_score\n')
    this.#output.end()
    await once(this.#output, 'close')
  }
}

function quote(cell: string): string {
  return /[",\n\r;\t]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}
