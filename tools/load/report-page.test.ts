import { existsSync, readFileSync } from 'node:fs'
import type { Analysis } from '@tidemark/shared/verdict/analysis'
import { expect, test } from 'vitest'
import { readClusterFigures } from './cluster-section.ts'
import type { LoadResult } from './load.ts'
import { commandOf, REPORT_SOURCE, type ReportParts, reportPage } from './report-page.ts'
import { percent, runReport } from './run-report.ts'
import type { StreamPoint } from './stream.ts'
import type { Detection, Summary, Times } from './summary.ts'

const times: Times = { count: 100, average: 2.04, p50: 2, p95: 4.26, p99: 9, max: 12 }
const nothing: Times = { count: 0, average: null, p50: null, p95: null, p99: null, max: null }

const detection: Detection = {
  series: 50,
  verdicts: 1000,
  warming: 10,
  flagged: 80,
  anomalies: 20,
  found: 19,
  precision: 0.5,
  recall: 0.95,
  false_positive_rate: 0.0416,
  delay_samples: 0.25,
  delay_ms: { ...times, p50: 3, max: 5500 },
  verdict_ms: times,
}

function result(changes: Partial<Summary> = {}): LoadResult {
  const summary: Summary = {
    shape: 'steady',
    rps: 500,
    seconds: 10,
    seed: 1,
    planned: 5000,
    requests: 4990,
    failures: 1,
    error_rate: 1 / 4990,
    failed: [{ what: 'POST /ingest: 503 a|b', count: 1 }],
    samples: 9000,
    routes: [
      { name: 'GET /analyze', failures: 0, ms: { ...times, count: 300, average: 6 } },
      { name: 'POST /ingest', failures: 1, ms: { ...times, p95: 3 } },
    ],
    late_ms: times,
    unjudged: 0,
    detection,
    detection_by_signal: [{ ...detection, kind: 'flat', precision: null, delay_ms: nothing }],
    anomalies: [{ kind: 'spike', anomalies: 20, found: 19 }],
    timeline: [],
    tracks: [],
    limits: {},
    missed: [],
    cpu_s: 2,
    ...changes,
  }
  const machine = { cores: 2, loadBefore: 0.4, loadMax: 1.2 }
  const gatewayP95 = [{ route: '/ingest', ms: 1.234 }]
  return {
    summary,
    machine,
    gatewayP95,
    analyzers: 2,
    pictures: [{ name: 'client.png', caption: 'as the client saw it' }],
  }
}

/** The report without line breaks in paragraphs and without the blanks that align its tables. */
function reportOf(load: LoadResult): string {
  return runReport(load, 'npm run load').replaceAll(/(?<=[^|\n])\n(?=[^|\n-])| +/g, ' ')
}

test('the report of a run has the mean of all responses and the p95 of the slowest route', () => {
  expect(reportOf(result())).toContain(
    '| steady, 10 s | 500 | 499.0 | 4,990 | 5.0 ms | 4.3 ms | 0.020 % | 1 gateway, 2 analyzers |',
  )
})

test('the report lists missed thresholds, and failures without breaking the table', () => {
  expect(reportOf(result())).toContain('**No threshold was missed.**')
  const text = reportOf(result({ missed: ['recall is 0.5, the minimum is 0.9'] }))
  expect(text).toContain('- recall is 0.5, the minimum is 0.9')
  expect(text).toContain('| POST /ingest: 503 a\\|b | 1 |')
})

test('the report warns if the machine was busy before the load', () => {
  const busy = 'these latencies are too high'
  const { machine, ...rest } = result()
  expect(reportOf({ ...rest, machine })).not.toContain(busy)
  expect(reportOf({ ...rest, machine: { ...machine, loadBefore: 1.5 } })).toContain(busy)
})

test('the report shows the p95 measured by the gateway, if available', () => {
  const own = 'The gateway itself measured a p95 of 1.2 ms for `/ingest`'
  expect(reportOf(result())).toContain(own)
  expect(reportOf({ ...result(), gatewayP95: [] })).not.toContain('The gateway itself')
})

test('a missing measurement is shown as a dash', () => {
  const row = '| flat | 1,000 | 80 | - | 4.2 % | 19 of 20 | 95.0 % | 0.3 samples, - |'
  expect(reportOf(result())).toContain(row)
})

test.each([
  [null, '-'],
  [0, '0 %'],
  [0.0002, '0.020 %'],
  [0.125, '12.5 %'],
])('a share of %j is shown as %s', (share, text) => {
  expect(percent(share)).toBe(text)
})

test('the page has a row and a command for each load, and the results of the stream', () => {
  const point = (phase: StreamPoint['phase'], z: number): StreamPoint => ({
    phase,
    analysis: { state: 'ok', value: 420, z, anomaly: Math.abs(z) > 2 } as Analysis,
  })
  const loads = [result(), result({ shape: 'spike', rps: 1000, planned: 4000 })]
  const page = reportPage({
    date: '2026-01-02',
    command: 'npm run report',
    loads,
    stream: {
      points: [point('stable', 1.5), point('stable', -2.5), point('burst', 32.94), point('after', 0.5)],
      legacy: { rps_avg: 424.5, anomaly: false, window: 50 },
      truth: { expected: 425, ofWindow: 424.5 },
    },
    cluster: { date: '2026-11-02', kubernetes: 'v1.30.0', cores: 2, loads: [] },
    streamPicture: 'stream.png',
    imagesFolder: 'images',
  }).replaceAll(/(?<=\|.*) +/g, ' ')
  expect(page).toContain('| spike, 10 s | 400 |')
  expect(page).toContain(commandOf(loads[1] ?? result()))
  expect(page).toContain('    npm run load -- --stack --analyzers 2 --shape spike --rps 1000 --seconds 10\n')
  expect(page).toContain('`rps_avg` 424.50. The true mean is 425')
  expect(page).toContain('| 400 to 450 | 2 | 1 (50.0 %) | 1.5 | 2.5 |')
  expect(page).toContain('| burst to 900 | 1 | 1 (100.0 %) | 32.9 | 32.9 |')
  expect(page).toContain('![as the client saw it](images/client.png)')
})

// A page from before its source was kept has none: the next run writes it.
test.runIf(existsSync(REPORT_SOURCE))('docs/report.md shows the figures of the run that is kept, and no others', () => {
  const source = JSON.parse(readFileSync(REPORT_SOURCE, 'utf8')) as Omit<ReportParts, 'cluster' | 'imagesFolder'>
  const page = readFileSync(new URL('../../docs/report.md', import.meta.url), 'utf8')
  expect(page).toBe(reportPage({ ...source, cluster: readClusterFigures(), imagesFolder: 'images' }))
})
