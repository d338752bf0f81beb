import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../lib/options.ts'
import { BEGIN_MS, GROUP_NAMES, INTERVAL_MS, recordingsOf } from './compare.ts'
import type { Recording } from './labelled.ts'

const LABELS = 'windows.json'

/** Writes all labelled recordings as CSV files, and their labels, as the backtest reads them. */
export async function writeRecordings(folder: string, recordings: number): Promise<number> {
  const labels: Record<string, string[][]> = {}
  let files = 0
  try {
    for (const group of GROUP_NAMES) {
      for (const [n, recording] of recordingsOf(group, recordings).entries()) {
        const file = `${group}/${recording.kind}-${(n % recordings) + 1}.csv`.replaceAll(' ', '-')
        labels[file] = recording.windows.map(({ start, end }) => [timeOf(recording, start), timeOf(recording, end)])
        await mkdir(dirname(join(folder, file)), { recursive: true })
        await writeFile(join(folder, file), toCsv(recording))
        files++
      }
    }
    await writeFile(join(folder, LABELS), `${JSON.stringify(labels, null, 1)}\n`)
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error
    throw new Failure(`cannot write the recordings to ${folder}: ${error.message}`, { cause: error })
  }
  return files
}

function toCsv(recording: Recording): string {
  const rows = [...recording.values].map((value, n) => `${timeOf(recording, n)},${value}\n`)
  return `timestamp,value\n${rows.join('')}`
}

function timeOf({ clock }: Recording, n: number): string {
  const time = BEGIN_MS + INTERVAL_MS * clock(n).takenAt
  return new Date(time).toISOString().slice(0, 19).replace('T', ' ')
}
