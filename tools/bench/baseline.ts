import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { FIGURES } from './figures.ts'
import { median, type Results } from './table.ts'

const FILE = new URL('./baseline.json', import.meta.url)

/** On a shared machine, ratios vary by a fifth from run to run, and by more while it is busy. */
const MARGIN = 1.35

/** Returns the ratios that --check compares, by the title of the figure. */
export function watchedRatios(results: Results): Record<string, number> {
  return Object.fromEntries(
    FIGURES.filter(({ isWatched }) => isWatched).flatMap(({ title, scenario, value, floor }) => {
      const rounds = results.get(scenario) ?? []
      if (floor === undefined || rounds.length === 0) return []
      return [[title, median(rounds.map(round => value(round) / floor.value(round)))]]
    }),
  )
}

/** Returns a sentence for each ratio that exceeds the committed one by more than noise. */
export function regressions(ratios: Readonly<Record<string, number>>): string[] {
  if (!existsSync(FILE)) return ['tools/bench/baseline.json is missing: npm run bench -- --write creates it']
  const baseline = JSON.parse(readFileSync(FILE, 'utf8')) as Record<string, number>
  return Object.entries(ratios).flatMap(([title, ratio]) => {
    const before = baseline[title]
    if (before === undefined || ratio <= before * MARGIN) return []
    return [`${title}: ${ratio.toFixed(2)} x its floor, committed: ${before.toFixed(2)} x`]
  })
}

export async function writeBaseline(ratios: Readonly<Record<string, number>>): Promise<void> {
  const rounded = Object.fromEntries(Object.entries(ratios).map(([title, ratio]) => [title, Number(ratio.toFixed(3))]))
  await writeFile(FILE, `${JSON.stringify(rounded, null, 2)}\n`)
}
