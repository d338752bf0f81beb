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

/** Rounds of each scenario. A figure held against another scenario's finds its median there, as `scenario name`. */
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
  // Ratios are made within a round: the machine is another one in the next.
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

/** The table in Markdown, which is readable in a terminal too. */
export function toMarkdown(rows: readonly Row[]): string {
  const head = ['figure', 'median', 'least to most', 'floor', 'ratio', 'goal', '']
  const lines = rows.map(({ title, value, unit, least, most, rounds, floor, ratio, goal, isMet }) => [
    title,
    `${formatNumber(value)} ${unit}`.trim(),
    rounds === 1 ? 'one round' : `${formatNumber(least)} to ${formatNumber(most)}`,
    floor,
    ratio === undefined ? '' : ratio.toFixed(2),
    goal,
    isMet ? 'met' : 'MISSED',
  ])
  const widths = head.map((text, i) => Math.max(text.length, ...lines.map(line => line[i]?.length ?? 0)))
  const toLine = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  return [toLine(head), toLine(widths.map(width => '-'.repeat(width))), ...lines.map(toLine)].join('\n')
}
