import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPolicy } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KeyJudge } from './key-judge.ts'
import { writePlot } from './plot.ts'
import { PlotPoints } from './plot-points.ts'
import { renderReport } from './report.ts'
import { runFile } from './run-file.ts'
import { ScoreFile } from './score-file.ts'
import { detectorVariant, rulesVariant } from './variant.ts'

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

const COMMON = { name: 'cpu', csv: {}, windows: undefined, scores: undefined, points: undefined, onBytes: () => {} }

describe('a back-test', () => {
  test('gives every sample the same verdict as the pipeline, bit for bit', () => {
    const values = Array.from({ length: 300 }, (_, n) => (n % 60 < 40 ? Math.sin(n * 1.3) * (1 + (n % 7)) : 2))
    const judge = new KeyJudge(createPolicy({}, VERDICT_DEFAULTS))
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
    const judge = new KeyJudge(createPolicy({ order }, VERDICT_DEFAULTS))
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
    const { tallies, rejections, report: how } = result
    const [tally] = tallies
    expect(tally).toMatchObject({ rows: 102, samples: 101, rejected: 1, warming: 30, spanMs: 99 * MINUTE })
    expect(tally?.flagged).toEqual({ count: 1, inside: 1, windows: 1, found: 1, delaysMs: 5 * MINUTE })
    expect(tally?.alerts.count).toBe(1)
    expect(rejections).toEqual([expect.stringMatching(/^cpu:102: the time must be a Unix time or an ISO 8601 time/)])
    const report = renderReport([{ name: 'range', tally: tally as NonNullable<typeof tally> }])
    expect(report).toContain('100.0 %')
    expect(report).toContain('range: 1 invalid rows.')
    expect(how[0]).toBe(
      'time = timestamp, value = value, key = "cpu", the name of the file; 101 samples, 1 key, 2014-04-01 00:00:00 to 2014-04-01 01:39:00',
    )
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
    const { tallies } = await runFile({ ...COMMON, path: await writeRecording(), variants: [variant] })
    expect(tallies[0]).toMatchObject({ samples: 100, late: 1, rejected: 1 })
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
