import { formatMarkdownTable } from '../lib/table.ts'
import { FIGURES, type Figure } from './figures.ts'
import type { Measures } from './scenarios.ts'

export interface Row {
  readonly title: string
  readonly value: number
  readonly unit: string
  readonly least: number
  readonly most: number
  readonly rounds: number
  readonly floor: string
  readonly ratio: number | undefined
  readonly goal: string
  readonly isMet: boolean
}

/** The rounds of each scenario, by its name. */
export type Results = ReadonlyMap<string, readonly Measures[]>

export function rowsOf(results: Results): Row[] {
  const medians = Object.fromEntries(
    [...results].flatMap(([scenario, rounds]) =>
      Object.keys(rounds[0] ?? {}).map(name => [
        `${scenario} ${name}`,
        median(rounds.map(round => round[name] ?? Number.NaN)),
      ]),
    ),
  )
  return FIGURES.flatMap(figure => {
    const rounds = results.get(figure.scenario)?.map(round => ({ ...medians, ...round })) ?? []
    return rounds.length === 0 ? [] : [toRow(figure, rounds)]
  })
}

function toRow({ title, value, unit, floor, goal }: Figure, rounds: readonly Measures[]): Row {
  const values = rounds.map(value)
  // Ratios are computed within a round: the machine's speed differs between rounds.
  const ratios = floor === undefined ? [] : rounds.map(round => value(round) / floor.value(round))
  const ratio = ratios.length === 0 || ratios.some(Number.isNaN) ? undefined : median(ratios)
  return {
    title,
    value: median(values),
    unit,
    least: Math.min(...values),
    most: Math.max(...values),
    rounds: values.length,
    floor: floor?.title ?? '',
    ratio,
    goal: goal.text,
    isMet: goal.isMet(median(values), ratio ?? Number.NaN),
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

export function formatNumber(value: number): string {
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
