import { describe, expect, test } from 'vitest'
import { parseBacktest } from './options.ts'

describe('the command line of the back-test', () => {
  test('judges by zscore when nothing else is said', () => {
    expect(parseBacktest(['cpu.csv'])).toMatchObject({
      kind: 'backtest',
      options: { input: 'cpu.csv', detectors: ['zscore'], rules: [] },
    })
    expect(parseBacktest(['cpu.csv', '--rules', 'r.json'])).toMatchObject({
      options: { detectors: [], rules: ['r.json'] },
    })
  })

  test('takes several detectors, and all of them once', () => {
    const command = parseBacktest(['cpu.csv', '--detector', 'mad', '--detector', 'all'])
    expect(command.kind === 'backtest' ? command.options.detectors.toSorted() : []).toEqual([
      'ewma',
      'habit',
      'mad',
      'novelty',
      'range',
      'zscore',
    ])
  })

  test.each([
    [[], 'Name a CSV file'],
    [['a.csv', 'b.csv'], "Unexpected argument 'b.csv'"],
    [['a.csv', '--detector', 'sigma'], "not 'sigma'"],
    [['a.csv', '--detector', 'constructor'], "not 'constructor'"],
    [['a.csv', '--detector', 'all', '--scores', 'o.csv'], '--scores takes one'],
    [['a.csv', '--treshold', '3'], '--treshold'],
  ])('says what is wrong with %j', (args, reason) => {
    expect(parseBacktest(args)).toEqual({ kind: 'wrong', reason: expect.stringContaining(reason) })
  })
})
