import { describe, expect, test } from 'vitest'
import type { Round } from './interleave.ts'
import { changesOf, rowsOf, toChangesMarkdown } from './table.ts'

/** Rounds of `drain 100,000`, of the analyzer's CPU of this code and another version. */
function rounds(...pairs: readonly (readonly [number, number])[]): Map<string, Round[]> {
  return new Map([['drain 100,000', pairs.map(pair => pair.map(analyzerCpuUs => ({ analyzerCpuUs })))]])
}

const find = (results: Map<string, Round[]>) =>
  changesOf(results).find(({ title }) => title === 'the same, analyzer CPU per sample')

describe('the ratio to another version', () => {
  test('is the median of the ratios of the rounds, not the ratio of medians', () => {
    // The machine became three times as slow: the medians are 4 and 9.
    const change = find(rounds([2, 4], [4, 9], [12, 12]))
    expect(change).toMatchObject({ value: 4, other: 9, ratio: 0.5, least: 4 / 9, most: 1, rounds: 3 })
  })

  test.each([
    [[0.68, 0.7, 0.72], true],
    [[0.68, 0.71, 0.72], false],
  ])('meets the goal of 0.7 x with %j: %j', (ratios, isMet) => {
    const change = find(rounds(...ratios.map(ratio => [ratio, 1] as const)))
    expect(change).toMatchObject({ goal: '<= 0.7 x', isMet })
  })

  test('is 1 for what both do not do at all, and missing if the other does not measure it', () => {
    expect(find(rounds([0, 0]))?.ratio).toBe(1)
    const text = toChangesMarkdown(changesOf(rounds([1, 2])), ['this code', 'before'], true)
    expect(text).toMatch(/the same, analyzer CPU per sample .*\| 1\.00 us +\| 2\.00 us +\| 0\.50 +\| one round .*met/)
    expect(text).toMatch(/the same, Redis CPU per sample .*\| - us +\| - us +\| - +\| .*MISSED/)
  })

  test('covers each measure of a scenario once', () => {
    const single = [{ gatewayPerS: 2, honoPerS: 1, httpPerS: 1 }, { gatewayPerS: 1 }]
    const titles = changesOf(new Map([['single', [single]]])).map(({ title }) => title)
    const cpu = ['the same, gateway CPU per request', 'the same, Redis CPU per request']
    const floor = ['bare node:http with Redis, requests/s', 'the same, CPU per request']
    expect(titles).toEqual(['one sample per request, requests/s', ...cpu, ...floor])
  })

  test('has no goal when settings are compared', () => {
    const text = toChangesMarkdown(changesOf(rounds([1, 2])), ['A=on', 'A=off'], false)
    expect(text).toContain('A=on')
    expect(text).not.toMatch(/goal|met|MISSED/)
  })
})

test('the other table has the figures of this code, with floors of other scenarios', () => {
  const results = rounds([2, 4], [4, 8]).set('drain 1,000,000', [[{ analyzerCpuUs: 3.9 }, { analyzerCpuUs: 99 }]])
  const row = rowsOf(results).find(({ floor }) => floor === '100,000 keys')
  expect(row).toMatchObject({ value: 3.9, ratio: 1.3, isMet: true })
})
