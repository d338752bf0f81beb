import { describe, expect, test } from 'vitest'
import { FIGURES } from './figures.ts'
import { chooseScenarios, roundsOfPasses } from './measure.ts'
import { readOptions } from './options.ts'
import { SCENARIOS } from './scenarios.ts'
import { parseVariation } from './variation.ts'

const choose = (...args: string[]): string[] => chooseScenarios(readOptions(args)).map(({ name }) => name)

describe('the command line of the bench', () => {
  test.each([
    ['AGGREGATES=on,off', { setting: 'AGGREGATES', values: ['on', 'off'] }],
    ['BATCH_SAMPLES_MAX=,4000', { setting: 'BATCH_SAMPLES_MAX', values: ['', '4000'] }],
    ['AGGREGATES=on,on', undefined],
    ['AGGREGATES=on', undefined],
    ['AGGREGATES=on,off,auto', undefined],
    ['aggregates=on,off', undefined],
    ['on,off', undefined],
  ])('reads --vary %s', (text, variation) => {
    expect(parseVariation(text)).toEqual(variation)
  })

  test.each([
    [['--against', 'HEAD', '--vary', 'A=1,2'], '--against and --vary exclude each other'],
    [['--against', 'HEAD', '--write'], '--write measures this code alone: leave out --against'],
    [['--vary', 'A=1,2', '--check'], '--check measures this code alone: leave out --vary'],
    [['--vary', 'A=1'], "--vary must be a setting and two different values such as AGGREGATES=on,off, not 'A=1'"],
  ])('rejects %j', (args, message) => {
    expect(() => readOptions(args)).toThrow(message)
  })

  test('chooses scenarios by parts of their names', () => {
    expect(choose('--only', 'drain')).toEqual(['drain 10,000', 'drain 100,000', 'drain 1,000,000'])
    expect(choose('--only', 'latency', '--only', 'single')).toEqual(['single', 'latency'])
    expect(() => choose('--only', 'drain', '--only', 'speed')).toThrow('no scenario has "speed" in its name')
    expect(() => choose('--quick', '--only', 'cluster')).toThrow('no scenario has "cluster" in its name')
  })

  test('compares versions where they have a goal, unless scenarios are named', () => {
    expect(choose('--against', 'HEAD')).toContain('end to end')
    expect(choose('--against', 'HEAD')).not.toContain('latency')
    expect(choose('--against', 'HEAD', '--only', 'latency')).toEqual(['latency'])
    expect(choose()).toHaveLength(SCENARIOS.length)
  })
})

test('rounds are divided into two passes, but not those of a scenario that starts once', () => {
  const passes = (name: string, rounds: number): number[] =>
    SCENARIOS.filter(scenario => scenario.name === name).flatMap(scenario => roundsOfPasses(scenario, rounds))
  expect(passes('single', 5)).toEqual([3, 2])
  expect(passes('single', 1)).toEqual([1])
  expect(passes('drain 1,000,000', 50)).toEqual([3])
})

test('each scenario has figures, and each figure a scenario', () => {
  expect(new Set(FIGURES.map(({ scenario }) => scenario))).toEqual(new Set(SCENARIOS.map(({ name }) => name)))
})
