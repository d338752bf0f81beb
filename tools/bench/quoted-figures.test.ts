import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { replaceSection } from '../lib/table.ts'
import { type Row, toMarkdown } from './table.ts'

/** A run of `npm run bench -- --write`. */
interface Run {
  readonly date: string
  readonly machine: string
  readonly rows: readonly Row[]
}

const RESULTS = new URL('results/', import.meta.url)
const newest =
  readdirSync(RESULTS)
    .filter(name => /^[\d-]+\.json$/.test(name))
    .toSorted()
    .at(-1) ?? ''
const run = JSON.parse(readFileSync(new URL(newest, RESULTS), 'utf8')) as Run

function pageOf(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
}

/**
 * Returns the median of a figure by the beginning of its title; `the same, ...` is the one after
 * the figure of the second title.
 */
function measured(title: string, after = title): number {
  const from = run.rows.findIndex(row => row.title.startsWith(after))
  const row = run.rows.slice(from).find(one => one.title.startsWith(title))
  if (from < 0 || row === undefined) throw new Error(`${newest} has no figure "${title}" after "${after}"`)
  return row.value
}

/** Returns the numbers in the cells of the table row that begins with `first`. */
function quoted(page: string, first: string): number[] {
  const line = page.split('\n').find(one => one.startsWith(`| ${first} |`))
  if (line === undefined) throw new Error(`the page has no row "${first}"`)
  const numbers = line.slice(first.length + 4).matchAll(/(?<![\w.,])\d[\d,]*(?:\.\d+)?/g)
  return Array.from(numbers, ([text]) => Number(text.replaceAll(',', '')))
}

/** Rounds to the digits that a quoted number has: 784,633 is quoted as 780,000. */
function roundedAs(value: number, quote: number): number {
  const digits = String(quote).replace('.', '').replace(/^0+/, '').replace(/0+$/, '').length
  return Number(value.toPrecision(Math.max(1, digits)))
}

const LATENCY = 'latency from accepted to readable, 500 requests/s, p50'
const DRAIN = 'drain, 10,000 keys, samples/s'
const MANY_KEYS = 'drain, 100,000 keys, every sample of another key, samples/s'

test('the table of docs/performance.md is that of the newest run', () => {
  const page = pageOf('docs/performance.md')
  expect(page).toBe(replaceSection(page, 'bench', `${toMarkdown(run.rows)}\n\n${run.date}: ${run.machine}.`))
})

test.each<[row: string, values: readonly number[]]>([
  ['Latency from accepted to readable, 500 requests/s', [measured(LATENCY), measured('the same, p99', LATENCY)]],
  ['One sample a request', [measured('one sample per request, requests/s')]],
  ['1,000 samples a request', [measured('1,000 samples per request, gateway CPU per sample')]],
  ['Draining a backlog of 10,000 keys', [measured(DRAIN)]],
  ['Everything together, 300,000 samples/s sent', [measured('end to end on this machine')]],
])('the README quotes the newest run, rounded: %s', (row, values) => {
  const quotes = quoted(pageOf('README.md'), row)
  expect(quotes).toEqual(values.map((value, i) => roundedAs(value, quotes[i] ?? value)))
})

test.each<[row: string, values: readonly number[]]>([
  [
    'gateway',
    [
      measured('the same, samples/s', '1,000 samples per request, gateway CPU per sample'),
      measured('one sample per request, requests/s'),
    ],
  ],
  ['analyzer', [measured(DRAIN), measured(MANY_KEYS)]],
  ['Redis', [1e6 / measured('the same, Redis CPU per sample', DRAIN)]],
])('docs/performance.md promises what one core did, or up to a tenth less: %s', (row, values) => {
  const section = pageOf('docs/performance.md').split('\n## Capacity of one core\n')[1] ?? ''
  const rates = quoted(section, row).filter(number => number > 10_000 && number !== 100_000)
  for (const [i, value] of values.entries()) {
    expect([row, rates[i]]).toEqual([row, expect.toSatisfy((rate: number) => rate <= value && rate >= 0.9 * value)])
  }
})
