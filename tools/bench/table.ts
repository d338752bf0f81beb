import { formatMarkdownTable } from '../lib/table.ts'
import { FIGURES, type Figure } from './figures.ts'
import type { Measures } from './scenarios.ts'

export type Row = ReturnType<typeof toRow>

/** The rounds of each scenario, by its name. */
export type Results = ReadonlyMap<string, readonly Measures[]>

/** Returns the rows of the measured figures. Medians of other scenarios can be floors. */
export function rowsOf(results: Results): Row[] {
  const medians: Record<string, number> = {}
  for (const [scenario, rounds] of results) {
    for (const name of Object.keys(rounds[0] ?? {})) {
      medians[`${scenario} ${name}`] = median(rounds.map(round => round[name] ?? Number.NaN))
    }
  }
  return FIGURES.flatMap(figure => {
    const rounds = results.get(figure.scenario)?.map(round => ({ ...medians, ...round })) ?? []
    return rounds.length === 0 ? [] : [toRow(figure, rounds)]
  })
}

function toRow({ title, measure, unit, floor, goal }: Figure, rounds: readonly Measures[]) {
  const valuesOf = (name: string): number[] => rounds.map(round => round[name] ?? Number.NaN)
  const values = valuesOf(measure)
  const value = median(values)
  // Ratios are computed within a round: the machine's speed differs between rounds.
  const floors = floor === undefined ? [] : valuesOf(floor.measure)
  const ratio = median(floors.map((least, i) => (values[i] ?? Number.NaN) / least))
  return {
    title,
    value,
    unit,
    least: Math.min(...values),
    most: Math.max(...values),
    rounds: values.length,
    floor: floor?.title ?? '',
    ratio: Number.isNaN(ratio) ? undefined : ratio,
    goal: goal.text,
    isMet: goal.isMet(value, ratio),
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

function formatNumber(value: number): string {
  if (Number.isNaN(value)) return '-'
  return value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 100 ? 0 : 2)
}

/** Returns the table in Markdown, with aligned columns. */
export function toMarkdown(rows: readonly Row[]): string {
  const lines = rows.map(({ title, value, unit, least, most, rounds, floor, ratio, goal, isMet }) => [
    title,
    `${formatNumber(value)} ${unit}`.trim(),
    rounds === 1 ? 'one round' : `${formatNumber(least)} to ${formatNumber(most)}`,
    floor,
    ratio === undefined ? '' : ratio.toFixed(2),
    goal,
    isMet ? 'met' : 'MISSED',
  ])
  return formatMarkdownTable(['figure', 'median', 'min to max', 'floor', 'ratio', 'goal', ''], lines)
}
