import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const tools = fileURLToPath(new URL('../tools/', import.meta.url))

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-csv-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

/** Runs a program as npm does, in a folder of the user. */
function run(program: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise(resolve => {
    const options = { env: { ...process.env, INIT_CWD: folder } }
    execFile(process.execPath, [join(tools, program), ...args], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

const replay = (...args: string[]) => run('start/main.ts', '--port', '0', '--csv', ...args)
const backtest = (...args: string[]) => run('backtest/main.ts', ...args)

const rows = (count: number): string =>
  Array.from({ length: count }, (_, n) => `${1_704_067_200 + 60 * n},${n % 7}\n`).join('')

describe('npm start -- --csv', () => {
  test('replays a damaged file: one line is refused, and the summary names columns, keys and span', async () => {
    await writeFile(join(folder, 'nul.csv'), `timestamp,value\n${rows(500)}${'\0'.repeat(70_000)}\n${rows(500)}`)
    const { code, out } = await replay('nul.csv')
    expect(out).toContain(
      'time = timestamp, value = value, key = "nul", the name of the file; 1,000 samples, 1 key, 2024-01-01',
    )
    expect(out).toContain('  samples    1,000 analysed, of 1 key')
    expect(out).toContain('Rejected lines: 1\n  line 502: it has NUL bytes')
    expect(code).toBe(0)
  })

  test('sends what --dry-run shows', async () => {
    await writeFile(
      join(folder, 'old.csv'),
      'zeit;wert;gerät\n1970-08-23 06:21:41;21,5;Höhe\n1969-12-31 00:00:00;1;Höhe\n',
    )
    const dry = await replay('old.csv', '--dry-run')
    expect(dry.out).toContain(
      'The sample, as it would be sent:\n{"key":"Höhe","value":21.5,"timestamp":"1970-08-23T06:21:41.000Z"}\n',
    )
    expect(dry.out).toContain('Refused lines: 1\n  line 3: the time must not be before 1970')
    expect(dry.code).toBe(0)
    const { code, out } = await replay('old.csv')
    expect(out).toContain('  samples    1 analysed, of 1 key')
    expect(code).toBe(0)
  })

  test.each([
    ['empty.csv', '', 'it is empty'],
    ['header.csv', 'timestamp,value\n', 'it has a header (timestamp, value) and no rows'],
    [
      'compact.csv',
      'time,value\n20240101,1\n',
      'the times in "time" are ambiguous: "20240101" may be a date or a Unix time',
    ],
  ])('says why %s has no samples, starts nothing and exits with 1', async (name, text, reason) => {
    await writeFile(join(folder, name), text)
    const { code, out, err } = await replay(name)
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain(`tidemark: cannot read ${name}: ${reason}`)
    expect(err).not.toContain('the gateway is at')
  })

  test('exits with 2 for an option that it does not understand', async () => {
    expect(await replay('a.csv', '--delimiter', 'ab')).toMatchObject({ code: 2 })
  })
})

describe('npm run backtest', () => {
  test('goes on with the other files of a folder, and exits with 1', async () => {
    await mkdir(join(folder, 'many'))
    await writeFile(join(folder, 'many', 'a.csv'), 'time,value\n20240101,1\n')
    await writeFile(join(folder, 'many', 'b.csv'), `timestamp,value\n${rows(500)}${'\0'.repeat(70_000)}\n`)
    await writeFile(
      join(folder, 'many', 'c.csv'),
      `timestamp,cpu,mem\n${rows(500).replaceAll('\n', ',1\n')}1704067200,"5`,
    )
    const { code, out } = await backtest('many')
    expect(out).toContain('a.csv\n    WARNING: it cannot be read: the times in "time" are ambiguous')
    expect(out).toContain('b.csv\n    time = timestamp, value = value, key = "b", the name of the file; 500 samples')
    expect(out).toContain('c.csv\n    time = timestamp, value = cpu, mem, key = name of the column; 1,000 samples')
    expect(out).toMatch(/zscore +1,500 /)
    expect(out).toContain('zscore: 2 invalid rows.')
    expect(code).toBe(1)
  })

  test('compares variants on a labelled folder with folders in it', async () => {
    await mkdir(join(folder, 'labelled', 'below'), { recursive: true })
    const spike = rows(500)
      .split('\n')
      .with(400, `${1_704_067_200 + 60 * 400},90`)
      .join('\n')
    await writeFile(join(folder, 'labelled', 'below', 'a.csv'), `timestamp,value\n${spike}`)
    await writeFile(join(folder, 'labelled', 'b.csv.gz'), gzipSync(`timestamp,value\n${rows(500)}`))
    const windows = { 'below/a.csv': [['2024-01-01 06:35:00.000000', '2024-01-01 06:50:00.000000']], 'b.csv': [] }
    await writeFile(join(folder, 'windows.json'), JSON.stringify(windows))
    await writeFile(join(folder, 'deaf.json'), JSON.stringify({ id: 'deaf', pattern: '*', threshold: 9999 }))
    const labels = ['--labels', 'windows.json']
    const { code, out } = await backtest(
      'labelled',
      ...labels,
      '--detector',
      'zscore',
      '--rules',
      'deaf.json',
      '--by',
      'window',
    )
    expect(out).toMatch(/^alerts +opened +per key and day +right +precision +found +recall +delay$/m)
    expect(out).toMatch(/^zscore +1 +\S+ +1 +100\.0 % +1 +100\.0 % +5 min 0 s$/m)
    expect(out).toMatch(/^deaf\.json +0 +0 +0 +- +0 +0\.0 % +-$/m)
    expect(out).toMatch(/^below\/a\.csv .* after 5 min 0 s +missed$/m)
    expect(code).toBe(0)
    const scored = await backtest('labelled', '--detector', 'novelty', '--scores', 'out')
    expect(scored.code).toBe(0)
    const scores = (await readFile(join(folder, 'out', 'below', 'a.csv'), 'utf8')).split('\n')
    expect(scores[0]).toBe('timestamp,value,anomaly_score')
    expect(scores[401]).toMatch(/^1704091200,90,0\.9/)
    expect((await readFile(join(folder, 'out', 'b.csv'), 'utf8')).split('\n')).toHaveLength(502)
    const json = await backtest('labelled', ...labels, '--json', '--by', 'alert')
    expect(JSON.parse(json.out).by_alert).toEqual([
      expect.objectContaining({ file: 'below/a.csv', value: 90, right: true }),
    ])
    const same = await backtest('labelled/below/a.csv', '--scores', 'labelled/below/a.csv')
    expect(same.code).toBe(1)
  })

  test('reads a file as the options say', async () => {
    await writeFile(join(folder, 'two.csv'), 'a,b,c,d\nx,2024-01-01,1,2\nx,2024-01-02,3,4\n')
    const { code, out } = await backtest('two.csv', '--value', 'd', '--key', 'a')
    expect(out).toContain('time = b, value = d, key = a; not used: c; 2 samples, 1 key')
    expect(code).toBe(0)
    const dry = await backtest('two.csv', '--dry-run')
    expect(dry.out).toContain('value = c, d, key = name of the column; not used: a')
  })
})
