import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import type { Row } from './table.ts'

const FILE = new URL('./baseline.json', import.meta.url)

/** On a shared machine, ratios vary by a fifth from run to run, and by more while it is busy. */
const MARGIN = 1.35

/** The figures whose ratio to the floor --check compares. Less is better. */
const WATCHED = new Set(['the same, gateway CPU per request', '1,000 samples per request, gateway CPU per sample'])

function watchedRatios(rows: readonly Row[]): { title: string; ratio: number }[] {
  return rows.flatMap(({ title, ratio }) => (WATCHED.has(title) && ratio !== undefined ? [{ title, ratio }] : []))
}

/** Returns a sentence for each ratio that exceeds the committed one by more than noise. */
export function regressions(rows: readonly Row[]): string[] {
  if (!existsSync(FILE)) return ['tools/bench/baseline.json is missing: npm run bench -- --write creates it']
  const baseline = JSON.parse(readFileSync(FILE, 'utf8')) as Record<string, number>
  return watchedRatios(rows).flatMap(({ title, ratio }) => {
    const before = baseline[title]
    if (before === undefined || ratio <= before * MARGIN) return []
    return [`${title}: ${ratio.toFixed(2)} x its floor, committed: ${before.toFixed(2)} x`]
  })
}

export async function writeBaseline(rows: readonly Row[]): Promise<void> {
  const rounded = Object.fromEntries(watchedRatios(rows).map(({ title, ratio }) => [title, Number(ratio.toFixed(3))]))
  await writeFile(FILE, `${JSON.stringify(rounded, null, 2)}\n`)
}
