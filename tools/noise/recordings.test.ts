import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findInputs } from '../backtest/inputs.ts'
import { readLabels, windowsOf } from '../backtest/labels.ts'
import { runFile } from '../backtest/run-file.ts'
import { addTally, createTally, precision, recall } from '../backtest/tally.ts'
import { detectorVariant } from '../backtest/variant.ts'
import { countAlerts, recordingsOf } from './compare.ts'
import { ERROR_VALUES, REPORTED } from './labelled.ts'
import { writeRecordings } from './recordings.ts'

test('the backtest reads the recordings as they are measured', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = stack.adopt(await mkdtemp(join(tmpdir(), 'tidemark-')), path => rm(path, { recursive: true }))
  const files = await writeRecordings(folder, 1)
  const labels = await readLabels(join(folder, 'windows.json'), 'windows.json')
  const inputs = await findInputs(folder, folder)
  expect(inputs.files).toHaveLength(files)
  const total = createTally()
  for (const input of inputs.files.filter(({ file }) => file.startsWith('held-out/'))) {
    const windows = windowsOf(labels, input)
    expect(windows?.length).toBeGreaterThan(0)
    const variants = [detectorVariant('zscore')]
    const given = { csv: {}, variants, windows, scores: undefined, points: undefined, listsAlerts: false }
    const { runs } = await runFile({ ...input, ...given, onBytes: () => {} })
    addTally(total, runs[0]?.tally ?? createTally())
  }
  const measured = countAlerts(recordingsOf('held out', 1), { detector: 'zscore' })
  const { count, inside, windows, found } = measured
  expect(count).toBeGreaterThan(0)
  expect(total.alerts).toMatchObject({ count, inside, windows, found })
})

test('a counter needs `counter`, and a sensor with error values `ignore`', () => {
  for (const [kind, parts] of [
    ['counters', { isCounter: true }],
    ['error values', { ignored: new Set(ERROR_VALUES) }],
  ] as const) {
    const recordings = recordingsOf('reported', 8, kind)
    const plain = countAlerts(recordings, {})
    const ruled = countAlerts(recordings, parts)
    expect([kind, recall(plain) < 0.5, recall(ruled) > 0.7]).toEqual([kind, true, true])
    expect(precision(ruled)).toBeGreaterThan(precision(plain) + 0.2)
  }
})

test('the default alerts find most faults of each shape that users report, except on and off', () => {
  const missed = ['counters', 'error values', 'on and off']
  for (const kind of Object.keys(REPORTED).filter(name => !missed.includes(name))) {
    const hits = countAlerts(recordingsOf('reported', 8, kind), {})
    expect([kind, recall(hits) >= 0.6, precision(hits) >= 0.4]).toEqual([kind, true, true])
  }
})
