import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { Judge } from '@tidemark/shared/detection/judge'
import { createPolicy } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KeyJudge } from './key-judge.ts'
import { writePlot } from './plot.ts'
import { PlotPoints } from './plot-points.ts'
import { renderAlerts, renderReport, renderWindows } from './report.ts'
import { toJson, windowResults } from './result.ts'
import { runFile } from './run-file.ts'
import { ScoreFile } from './score-file.ts'
import { alertsPerKeyDay, costNs } from './tally.ts'
import { detectorVariant, readVariants, rulesVariant } from './variant.ts'

const BEGIN = Date.parse('2014-04-01T00:00:00Z')
const MINUTE = 60_000

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-backtest-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

/** A normal key with a spike at its 80th sample, an invalid line and a late sample. */
async function writeRecording(): Promise<string> {
  const lines = Array.from({ length: 100 }, (_, n) => `${textOf(n)},${n === 80 ? 40 : Math.sin(n * 1.3)}`)
  const path = join(folder, 'cpu.csv')
  await writeFile(path, ['timestamp,value', ...lines, 'yesterday,5', `${textOf(3)},0.5`].join('\n'))
  return path
}

function textOf(n: number): string {
  return new Date(BEGIN + n * MINUTE).toISOString().slice(0, 19).replace('T', ' ')
}

const COMMON = {
  file: 'cpu.csv',
  name: 'cpu',
  csv: {},
  windows: undefined,
  scores: undefined,
  points: undefined,
  listsAlerts: false,
  onBytes: () => {},
}

describe('a back-test', () => {
  test('gives every sample the same verdict as the pipeline, bit for bit', () => {
    const values = Array.from({ length: 300 }, (_, n) => (n % 60 < 40 ? Math.sin(n * 1.3) * (1 + (n % 7)) : 2))
    const judge = new KeyJudge(new Judge(createPolicy({}, VERDICT_DEFAULTS)))
    for (const [n, value] of values.entries()) {
      const { score, isFlagged, low, high } = judge.step(value, n, n)
      const samples = values.slice(0, n + 1).map(before => ({ value: before, timestamp: 0 }))
      const oracle = oracleAnalysis('k', samples, VERDICT_DEFAULTS)
      expect(isFlagged).toBe(oracle.anomaly)
      expect(Number.isNaN(score) ? null : score === 0 ? 0 : score).toBe(oracle.z === 0 ? 0 : oracle.z)
      expect([low, high]).toEqual(oracle.z === null ? [Number.NaN, Number.NaN] : [oracle.low, oracle.high])
    }
  })

  test('returns no score for a sample that is not analysed', () => {
    const order = { refusesLate: true, dropsDuplicates: false }
    const judge = new KeyJudge(new Judge(createPolicy({ order }, VERDICT_DEFAULTS)))
    for (let n = 100; n < 150; n++) judge.step(n % 3, n, n)
    const { low, high, score } = { ...judge.step(1, 150, 150) }
    expect([low, high, score].some(Number.isNaN)).toBe(false)
    expect(judge.step(9, 140, 151)).toMatchObject({
      order: 'late',
      isAnalysed: false,
      isFlagged: false,
      low: Number.NaN,
      high: Number.NaN,
      score: Number.NaN,
    })
  })

  test('counts samples, flags and alerts, and describes invalid rows', async () => {
    const path = await writeRecording()
    const windows = [{ start: BEGIN + 75 * MINUTE, end: BEGIN + 85 * MINUTE }]
    const result = await runFile({ ...COMMON, path, variants: [detectorVariant('range')], windows })
    const { runs, rejections, report: how } = result
    const tally = runs[0]?.tally
    expect(tally).toMatchObject({ rows: 102, samples: 101, rejected: 1, warming: 30, keyMs: 99 * MINUTE })
    expect(tally?.flagged).toEqual({ count: 1, inside: 1, windows: 1, found: 1, delaysMs: 5 * MINUTE })
    expect(tally?.alerts.count).toBe(1)
    expect(rejections).toEqual([
      expect.stringMatching(/^cpu\.csv:102: the time must be a Unix time or an ISO 8601 time/),
    ])
    const report = renderReport([{ name: 'range', tally: tally as NonNullable<typeof tally> }])
    expect(report).toContain('100.0 %')
    expect(report).toContain('range: 1 invalid rows.')
    expect(how[0]).toBe(
      'time = timestamp, value = value, key = "cpu", the name of the file; 101 samples, 1 key, 2014-04-01 00:00:00 to 2014-04-01 01:39:00',
    )
  })

  test('lists alerts, and when each window was found', async () => {
    const path = await writeRecording()
    const windows = [
      { start: BEGIN, end: BEGIN + MINUTE },
      { start: BEGIN + 75 * MINUTE, end: BEGIN + 85 * MINUTE },
    ]
    const variants = [detectorVariant('range'), detectorVariant('zscore')]
    const { runs, report } = await runFile({ ...COMMON, path, variants, windows, listsAlerts: true })
    const at = BEGIN + 80 * MINUTE
    expect(runs.map(run => run.firstAlerts)).toEqual([
      [Number.POSITIVE_INFINITY, at],
      [Number.POSITIVE_INFINITY, at],
    ])
    const [alert] = runs[0]?.alerts ?? []
    expect(alert).toMatchObject({ key: 'cpu', openedAt: at, value: 40, isInside: true, by: 'instant' })
    expect(alert?.resolvedAt).toBe(BEGIN + 85 * MINUTE)
    const result = {
      variants: runs.map(({ tally }, index) => ({ name: variants[index]?.name ?? '', tally })),
      windows: windowResults('cpu.csv', windows, runs),
      alerts: runs.flatMap(run => run.alerts.map(one => ({ variant: 'v', file: 'cpu.csv', ...one }))),
      inputs: [{ file: 'cpu.csv', lines: report }],
    }
    expect(renderWindows(result)).toMatch(
      /cpu\.csv +2014-04-01 00:00:00 .* missed +missed\n.* after 5 min 0 s +after 5/,
    )
    expect(renderAlerts(result)).toMatch(/v +cpu\.csv +cpu +2014-04-01 01:20:00 +5 min 0 s +40 .* instant +right/)
    const json = JSON.parse(toJson(result, 'window'))
    expect(json.variants[0].alerts).toMatchObject({ count: 1, right: 1, precision: 1, found: 1, recall: 0.5 })
    expect(json.by_window[0].first_alerts).toEqual({ range: null, zscore: null })
    expect(json.by_alert).toBeUndefined()
  })

  test('measures the cost with enough samples, and alerts per key and day', async () => {
    const path = join(folder, 'two.csv')
    const line = (n: number): string => `${BEGIN / 1000 + 60 * n},${n % 7},${n === 3000 ? 99 : n % 5}\n`
    await writeFile(path, `time,cpu,mem\n${Array.from({ length: 5761 }, (_, n) => line(n)).join('')}`)
    const { runs } = await runFile({ ...COMMON, path, variants: [detectorVariant('zscore')] })
    const tally = runs[0]?.tally
    if (tally === undefined) throw new Error('there is no run')
    // Two keys of four days each.
    expect(alertsPerKeyDay(tally)).toBe(tally.alerts.count / 8)
    expect(costNs(tally)).toBeGreaterThan(10)
  })

  test('counts ignored values apart', async () => {
    const rules = join(folder, 'rules.json')
    await writeFile(rules, JSON.stringify({ id: 'cpu', pattern: 'cpu', ignore: [40] }))
    const variants = [await rulesVariant(rules, 'rules.json')]
    const { runs } = await runFile({ ...COMMON, path: await writeRecording(), variants })
    expect(runs[0]?.tally).toMatchObject({ ignored: 1, duplicates: 0, late: 0 })
  })

  test('reads compressed files, and names a damaged one', async () => {
    const text = await readFile(await writeRecording())
    for (const [name, bytes] of [
      ['cpu.csv.gz', gzipSync(text)],
      ['cpu.csv.zst', zstdCompressSync(text)],
    ] as const) {
      const path = join(folder, name)
      await writeFile(path, bytes)
      const seen: number[] = []
      const given = { ...COMMON, path, variants: [detectorVariant('range')], onBytes: (n: number) => void seen.push(n) }
      const { runs } = await runFile(given)
      expect(runs[0]?.tally).toMatchObject({ rows: 102, samples: 101, rejected: 1 })
      expect(seen.at(-1)).toBe(bytes.length)
      await writeFile(path, bytes.subarray(0, bytes.length >> 1))
      await expect(runFile(given)).rejects.toThrow(/its (gzip|zstd) data is damaged/)
    }
  })

  test('names the path of rules whose file names are equal', async () => {
    for (const name of ['a', 'b']) {
      await mkdir(join(folder, name))
      await writeFile(join(folder, name, 'rules.json'), JSON.stringify({ id: 'r', pattern: '*' }))
    }
    const given = { detectors: ['zscore'], rules: ['a/rules.json', 'b/rules.json'] } as const
    const variants = await readVariants(given, name => join(folder, name))
    expect(variants.map(({ name }) => name)).toEqual(['zscore', 'a/rules.json', 'b/rules.json'])
  })

  test('writes one score from 0 to 1 for each row, in order, with timestamp and value unchanged', async () => {
    const path = await writeRecording()
    const out = join(folder, 'below', 'scores.csv')
    {
      await using scores = await ScoreFile.create(out)
      await runFile({ ...COMMON, path, variants: [detectorVariant('zscore')], scores })
    }
    const [header, ...rows] = (await readFile(out, 'utf8')).trimEnd().split('\n')
    expect(header).toBe('timestamp,value,anomaly_score')
    expect(rows).toHaveLength(102)
    expect(rows[0]).toBe('2014-04-01 00:00:00,0,0')
    expect(rows[100]).toBe('yesterday,5,0')
    const scores = rows.map(row => Number(row.split(',')[2]))
    expect(scores.every(score => score >= 0 && score <= 1)).toBe(true)
    expect(scores.indexOf(Math.max(...scores))).toBe(80)
  })

  test('writes the label of each row, if there are labels', async () => {
    const windows = [{ start: BEGIN + MINUTE, end: BEGIN + 2 * MINUTE }]
    const out = join(folder, 'scores.csv')
    {
      await using scores = await ScoreFile.create(out, windows)
      const variants = [detectorVariant('zscore')]
      await runFile({ ...COMMON, path: await writeRecording(), variants, windows, scores })
    }
    const rows = (await readFile(out, 'utf8')).split('\n').map(row => row.split(','))
    expect(rows.slice(0, 5).map(row => row[3])).toEqual(['label', '0', '1', '1', '0'])
  })

  test('writes the key of each score of a file with a key per column', async () => {
    const path = join(folder, 'wide.csv')
    await writeFile(path, 'time,cpu,mem\nyesterday,1,2\n2024-01-01,1,\n2024-01-02,3,4\n"2024-01-03,1,2\n')
    const out = join(folder, 'scores.csv')
    {
      await using scores = await ScoreFile.create(out)
      await runFile({ ...COMMON, path, variants: [detectorVariant('zscore')], scores })
    }
    expect(await readFile(out, 'utf8')).toBe(
      `timestamp,value,anomaly_score,key\nyesterday,1,0,\n2024-01-01,1,0,cpu\n2024-01-01,,0,mem\n2024-01-02,3,0,cpu\n2024-01-02,4,0,mem\n,,0,\n`,
    )
  })

  test('scores each key by its rule, and drops the samples that the rule rejects', async () => {
    const rules = join(folder, 'rules.json')
    await writeFile(rules, JSON.stringify([{ id: 'cpu', pattern: 'cpu', detector: 'range', late: 'refuse' }]))
    const variant = await rulesVariant(rules, 'rules.json')
    expect(variant.policyOf('cpu').detector).toBe('range')
    expect(variant.policyOf('other').detector).toBe('zscore')
    const { runs } = await runFile({ ...COMMON, path: await writeRecording(), variants: [variant] })
    expect(runs[0]?.tally).toMatchObject({ samples: 100, late: 1, rejected: 1 })
  })

  test('describes what is wrong with rules', async () => {
    const rules = join(folder, 'rules.json')
    await writeFile(rules, '{"id": "cpu", "pattern": "cpu", "detector": "sigma"}')
    await expect(rulesVariant(rules, 'rules.json')).rejects.toThrow('must be one of zscore')
    await writeFile(rules, '{"id":')
    await expect(rulesVariant(rules, 'rules.json')).rejects.toThrow('the rules rules.json are not valid JSON')
    await expect(rulesVariant(join(folder, 'none.json'), 'none.json')).rejects.toThrow(
      'cannot read the rules none.json',
    )
  })

  test('draws a self-contained page, and a picture', async () => {
    const points = new PlotPoints(['range'])
    const path = await writeRecording()
    await runFile({ ...COMMON, path, variants: [detectorVariant('range')], points })
    const [panel] = points.panels()
    expect(panel?.points.filter(({ isFlagged }) => isFlagged).map(({ value }) => value)).toEqual([40])
    const plot = { title: 'a <b> & c', panels: points.panels(), windows: [{ start: BEGIN, end: BEGIN + MINUTE }] }
    await writePlot(join(folder, 'cpu.html'), plot)
    const page = await readFile(join(folder, 'cpu.html'), 'utf8')
    expect(page).toContain('<title>a &lt;b> &amp; c</title>')
    for (const name of ['labelled', 'normal range', 'alert opened', '#e08214']) expect(page).toContain(name)
    expect(page.replaceAll(/xmlns(:\w+)?="[^"]*"/g, '')).not.toMatch(/https?:|<script/)
    await writePlot(join(folder, 'cpu.png'), plot)
    const png = await readFile(join(folder, 'cpu.png'))
    expect(png.subarray(1, 4).toString('latin1')).toBe('PNG')
  })
})
