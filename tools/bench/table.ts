import { formatMarkdownTable } from '../lib/table.ts'
import { COMPARED, FIGURES, type Figure } from './figures.ts'
import type { Measures, Round } from './interleave.ts'

export type Row = ReturnType<typeof toRow>
export type Change = ReturnType<typeof toChange>

/** The rounds of each scenario, by its name. */
export type Results = ReadonlyMap<string, readonly Round[]>

/** Returns the rows of the first subject's figures. Medians of other scenarios can be floors. */
export function rowsOf(results: Results): Row[] {
  const own = new Map([...results].map(([scenario, rounds]) => [scenario, rounds.map(([first = {}]) => first)]))
  const medians: Record<string, number> = {}
  for (const [scenario, rounds] of own) {
    for (const name of Object.keys(rounds[0] ?? {})) medians[`${scenario} ${name}`] = median(valuesOf(rounds, name))
  }
  return FIGURES.flatMap(figure => {
    const rounds = own.get(figure.scenario)?.map(round => ({ ...medians, ...round })) ?? []
    return rounds.length === 0 ? [] : [toRow(figure, rounds)]
  })
}

/** Returns the ratios of the first subject's figures to those of the second. */
export function changesOf(results: Results): Change[] {
  return COMPARED.flatMap(figure => {
    const rounds = results.get(figure.scenario) ?? []
    return rounds.length === 0 ? [] : [toChange(figure, rounds)]
  })
}

function toRow({ title, measure, unit, floor, goal }: Figure, rounds: readonly Measures[]) {
  const values = valuesOf(rounds, measure)
  const value = median(values)
  // Ratios are computed within a round: the machine's speed differs between rounds.
  const ratio = median(floor === undefined ? [] : ratiosOf(values, valuesOf(rounds, floor.measure)))
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

function toChange({ title, measure, unit, change }: Figure, rounds: readonly Round[]) {
  const [values, others] = [0, 1].map(subject =>
    valuesOf(
      rounds.map(round => round[subject] ?? {}),
      measure,
    ),
  ) as [number[], number[]]
  const ratios = ratiosOf(values, others)
  const ratio = median(ratios)
  return {
    title,
    unit,
    value: median(values),
    other: median(others),
    ratio,
    least: Math.min(...ratios),
    most: Math.max(...ratios),
    rounds: rounds.length,
    goal: change?.text ?? '',
    isMet: change?.isMet(ratio),
  }
}

function valuesOf(rounds: readonly Measures[], name: string): number[] {
  return rounds.map(round => round[name] ?? Number.NaN)
}

function ratiosOf(values: readonly number[], others: readonly number[]): number[] {
  // Nothing against nothing, such as failed requests, is no change.
  return values.map((value, i) => (value === 0 && others[i] === 0 ? 1 : value / (others[i] ?? Number.NaN)))
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

function formatRange(rounds: number, least: number, most: number): string {
  return rounds === 1 ? 'one round' : `${formatNumber(least)} to ${formatNumber(most)}`
}

/** Returns the table in Markdown, with aligned columns. */
export function toMarkdown(rows: readonly Row[]): string {
  const lines = rows.map(({ title, value, unit, least, most, rounds, floor, ratio, goal, isMet }) => [
    title,
    `${formatNumber(value)} ${unit}`.trim(),
    formatRange(rounds, least, most),
    floor,
    ratio === undefined ? '' : ratio.toFixed(2),
    goal,
    isMet ? 'met' : 'MISSED',
  ])
  return formatMarkdownTable(['figure', 'median', 'min to max', 'floor', 'ratio', 'goal', ''], lines)
}

/** Returns the table of a comparison in Markdown. `withGoals`: the goals are of this comparison. */
export function toChangesMarkdown(changes: readonly Change[], names: readonly string[], withGoals: boolean): string {
  const lines = changes.map(({ title, unit, value, other, ratio, least, most, rounds, goal, isMet }) => [
    title,
    `${formatNumber(value)} ${unit}`.trim(),
    `${formatNumber(other)} ${unit}`.trim(),
    formatNumber(ratio),
    formatRange(rounds, least, most),
    ...(withGoals ? [goal, isMet === undefined ? '' : isMet ? 'met' : 'MISSED'] : []),
  ])
  const head = ['figure', ...names, 'ratio', 'min to max', ...(withGoals ? ['goal', ''] : [])]
  return formatMarkdownTable(head, lines)
}
