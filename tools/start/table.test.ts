import type { Analysis } from '@tidemark/shared/verdict/analysis'
import { describe, expect, test } from 'vitest'
import { Board } from './board.ts'
import { describeAnomaly, renderTable, type TableSettings } from './table.ts'

const NOW = 1_700_000_000_000
const SETTINGS: TableSettings = {
  url: 'http://127.0.0.1:8080',
  redis: 'a temporary Redis',
  analyzers: 2,
  startedAt: NOW - 12_000,
  unitOf: () => 'percent',
}

function analysis(key: string, changes: Partial<Analysis> = {}): Analysis {
  return {
    key,
    value: 12.5,
    timestamp: NOW,
    mean: 10,
    deviation: 2,
    z: 1.25,
    threshold: 2,
    low: 6,
    high: 14,
    anomaly: false,
    state: 'ok',
    count: 60,
    window: 50,
    id: '1:1-0',
    analyzed_at: NOW,
    ...changes,
  }
}

const ANOMALY = { value: 99, z: 44.5, anomaly: true, state: 'anomalous' } as const

function boardOf(...analyses: readonly Analysis[]): Board {
  const board = new Board()
  for (const one of analyses) board.record(one, NOW)
  return board
}

/** 71 columns have no room for the trend. */
function render(board: Board, size: { columns?: number; rows?: number } = {}, now = NOW): string[] {
  return renderTable(board, SETTINGS, { columns: 71, rows: undefined, hasColour: false, ...size }, now)
}

describe('the table', () => {
  test('shows key, value, mean, z and state of each key', () => {
    const row = render(boardOf(analysis('vm/cpu.0'))).at(-1)
    expect(row?.trim().split(/\s{2,}|(?<=%) /)).toEqual(['vm/cpu.0', '12.5 %', '10.0 %', '+1.3', 'ok'])
  })

  test('sorts its rows by key and compares numbers in keys as numbers', () => {
    const lines = render(boardOf(analysis('vm/cpu.10'), analysis('vm/cpu.2'), analysis('vm/cpu.1')))
    expect(lines.slice(-3).map(line => line.trim().split(' ')[0])).toEqual(['vm/cpu.1', 'vm/cpu.2', 'vm/cpu.10'])
  })

  test('marks an anomaly with more than a colour', () => {
    const row = render(boardOf(analysis('vm/cpu.0', ANOMALY))).at(-1)
    expect(row).toMatch(/^! vm\/cpu\.0 .* 1 ANOMALOUS$/)
  })

  test('marks a key for a while after an anomaly', () => {
    const board = boardOf(analysis('vm/cpu.0', ANOMALY), analysis('vm/cpu.0'))
    expect(render(board).at(-1)).toMatch(/^· .* 1 ok/)
    expect(render(board, {}, NOW + 6000).at(-1)).toMatch(/^ {2}vm.* 1 ok/)
  })

  test('shows the progress of a warming key', () => {
    const warming = { mean: 10, z: null, low: null, high: null, state: 'warming', window: 12 } as const
    expect(render(boardOf(analysis('vm/cpu.0', warming))).at(-1)).toContain('warming 12/30')
  })

  test.each([20, 40, 80, 120, 200])('fits into %d columns', columns => {
    const long = `${'a-long-host-name.example.internal'.repeat(2)}/event_loop.delay_max`
    const board = boardOf(analysis(long, ANOMALY), analysis('vm/cpu.0'))
    board.setFailure('x'.repeat(300))
    for (const line of render(board, { columns })) expect(line.length).toBeLessThanOrEqual(columns)
  })

  test('fits into the rows of the terminal and counts the hidden keys', () => {
    const keys = Array.from({ length: 30 }, (_, index) => analysis(`vm/cpu.${index}`, index === 29 ? ANOMALY : {}))
    const lines = render(boardOf(...keys), { rows: 24 })
    expect(lines).toHaveLength(24)
    expect(lines.at(-1)).toContain('12 more keys, 1 of them ANOMALOUS')
  })

  test('shows all rows if they just fit', () => {
    const keys = Array.from({ length: 19 }, (_, index) => analysis(`vm/cpu.${index}`))
    const lines = render(boardOf(...keys), { rows: 24 })
    expect(lines).toHaveLength(24)
    expect(lines.at(-1)).toContain('vm/cpu.18')
  })

  test('shows a message before the first verdict', () => {
    expect(render(new Board()).at(-1)).toContain('waiting')
  })

  test('counts failures in a row until the first success', () => {
    const board = boardOf(analysis('vm/cpu.0'))
    board.setFailure('503: the store does not respond')
    board.setFailure('503: the store does not respond')
    expect(render(board).join('\n')).toContain('FAILURE (2 times): 503')
    board.setFailure(undefined)
    expect(render(board).join('\n')).not.toContain('FAILURE')
  })
})

test('a line about an anomaly has value, z and band', () => {
  const line = describeAnomaly(analysis('vm/cpu.0', ANOMALY), 'percent', new Date(NOW))
  expect(line).toMatch(/^\d\d:\d\d:\d\d {2}ANOMALY {2}vm\/cpu\.0 {2}99\.0 % {2}\(z \+44\.5, band 6\.0 % to 14\.0 %\)$/)
})
