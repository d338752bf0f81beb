import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { FIGURES } from './figures.ts'
import { median, type Results } from './table.ts'

const FILE = new URL('./baseline.json', import.meta.url)

/** Ratios vary by a fifth from run to run on a shared machine, and by more while it is busy. */
const MARGIN = 1.35

/** What --check watches: CPU a sample over a floor of the same run, by the figure's title. */
export function watchedRatios(results: Results): Record<string, number> {
  return Object.fromEntries(
    FIGURES.flatMap(({ title, scenario, watched }) => {
      const rounds = results.get(scenario) ?? []
      return watched === undefined || rounds.length === 0 ? [] : [[title, median(rounds.map(watched))]]
    }),
  )
}

/** A sentence for each ratio that is worse than the committed one by more than noise. */
export function regressions(ratios: Readonly<Record<string, number>>): string[] {
  if (!existsSync(FILE))
    return ['there is no tools/bench/baseline.json to compare with: npm run bench -- --write makes one']
  const baseline = JSON.parse(readFileSync(FILE, 'utf8')) as Record<string, number>
  return Object.entries(ratios).flatMap(([title, ratio]) => {
    const before = baseline[title]
    if (before === undefined || ratio <= before * MARGIN) return []
    return [`${title}: ${ratio.toFixed(2)} x its floor, and the committed table has ${before.toFixed(2)}`]
  })
}

export async function writeBaseline(ratios: Readonly<Record<string, number>>): Promise<void> {
  const rounded = Object.fromEntries(Object.entries(ratios).map(([title, ratio]) => [title, Number(ratio.toFixed(3))]))
  await writeFile(FILE, `${JSON.stringify(rounded, null, 2)}\n`)
}
