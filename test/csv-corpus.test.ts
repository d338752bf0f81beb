import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CsvParser } from '@tidemark/tools/lib/csv/parser'
import { reportLines } from '@tidemark/tools/lib/csv/read'
import { expect, test } from 'vitest'

const folder = fileURLToPath(new URL('fixtures/csv/', import.meta.url))
const names = readdirSync(folder)
  .filter(name => name.endsWith('.csv'))
  .map(name => name.slice(0, -4))

/** A moment after the newest sample of the files. */
const NOW = Date.UTC(2024, 5, 1)

/** Reads a file as chunks of a size: every chunk may end anywhere. */
function read(name: string, chunkSize: number) {
  const bytes = readFileSync(join(folder, `${name}.csv`))
  const parser = new CsvParser({}, name)
  const items = []
  for (let at = 0; at < bytes.length; at += chunkSize) items.push(...parser.push(bytes.subarray(at, at + chunkSize)))
  items.push(...parser.end())
  const samples = items.filter(item => item.kind === 'sample').map(({ sample }) => sample)
  return {
    report: reportLines(parser, name, NOW),
    samples: samples.map(({ key, value, timestamp }) => [key, value, new Date(timestamp).toISOString()]),
    refused: items.filter(item => item.kind === 'refused').map(({ line, reason }) => `line ${line}: ${reason}`),
  }
}

test('there are at least 40 files', () => {
  expect(names.length).toBeGreaterThanOrEqual(40)
})

test.each(names)('%s.csv is read as expected, however its bytes arrive', name => {
  const expected: unknown = JSON.parse(readFileSync(join(folder, `${name}.expected.json`), 'utf8'))
  expect(read(name, 1 << 20)).toEqual(expected)
  expect(read(name, 7)).toEqual(expected)
})
