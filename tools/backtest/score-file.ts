import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { CsvItem } from '../lib/csv/parser.ts'
import { Failure } from '../lib/options.ts'
import type { LabelWindow } from './labels.ts'

/**
 * Writes `timestamp,value,anomaly_score` for each row, with unchanged timestamp and value; with
 * labels, `label` is 1 inside a window and 0 elsewhere.
 */
export class ScoreFile implements AsyncDisposable {
  readonly #output: WriteStream
  readonly #windows: readonly LabelWindow[] | undefined
  #hasHeader = false
  #hasKeys = false

  private constructor(output: WriteStream, windows: readonly LabelWindow[] | undefined) {
    this.#output = output
    this.#windows = windows
  }

  static async create(path: string, windows?: readonly LabelWindow[]): Promise<ScoreFile> {
    await mkdir(dirname(path), { recursive: true }).catch(error => rejectPath(path, error))
    const output = createWriteStream(path)
    await once(output, 'open').catch(error => rejectPath(path, error))
    return new ScoreFile(output, windows)
  }

  /** Writes the rows of `items`. Each sample has one of `scores`, in order; other rows have 0. */
  async write(items: readonly CsvItem[], scores: readonly number[]): Promise<void> {
    const [first] = items
    if (first === undefined) return
    this.#writeHeader(first.key !== undefined)
    let text = ''
    let next = 0
    for (const item of items) {
      const score = item.kind === 'sample' ? (scores[next++] as number) : 0
      text += `${quote(item.time)},${quote(item.value)},${score}`
      if (this.#windows !== undefined) text += `,${labelOf(item, this.#windows)}`
      text += this.#hasKeys ? `,${quote(item.key ?? '')}\n` : '\n'
    }
    if (!this.#output.write(text)) await once(this.#output, 'drain')
  }

  #writeHeader(hasKeys: boolean): void {
    if (this.#hasHeader) return
    this.#hasHeader = true
    this.#hasKeys = hasKeys
    const label = this.#windows === undefined ? '' : ',label'
    this.#output.write(`timestamp,value,anomaly_score${label}${hasKeys ? ',key' : ''}\n`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#writeHeader(false)
    this.#output.end()
    await once(this.#output, 'close')
  }
}

function rejectPath(path: string, error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error)
  throw new Failure(`cannot write the scores to ${path}: ${reason}`, { cause: error })
}

function labelOf(item: CsvItem, windows: readonly LabelWindow[]): 0 | 1 {
  if (item.kind !== 'sample') return 0
  const { timestamp } = item.sample
  return windows.some(({ start, end }) => timestamp >= start && timestamp <= end) ? 1 : 0
}

function quote(cell: string): string {
  return /[",\n\r;\t]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}
