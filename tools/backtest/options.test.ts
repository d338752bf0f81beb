import { DETECTOR_NAMES } from '@tidemark/shared/detection/detectors/registry'
import { describe, expect, test } from 'vitest'
import { readOptions } from './options.ts'

describe('the command line of the back-test', () => {
  test('uses zscore if neither a detector nor rules are given', () => {
    expect(readOptions(['cpu.csv'])).toMatchObject({ input: 'cpu.csv', detectors: ['zscore'], rules: [] })
    expect(readOptions(['cpu.csv', '--rules', 'r.json'])).toMatchObject({ detectors: [], rules: ['r.json'] })
  })

  test('accepts several detectors, each once', () => {
    const { detectors } = readOptions(['cpu.csv', '--detector', 'mad', '--detector', 'all'])
    expect(detectors.toSorted()).toEqual(DETECTOR_NAMES.toSorted())
  })

  test.each([
    [[], 'A CSV file or a folder is required'],
    [['a.csv', 'b.csv'], "Unexpected argument 'b.csv'"],
    [['a.csv', '--detector', 'sigma'], "not 'sigma'"],
    [['a.csv', '--detector', 'constructor'], "not 'constructor'"],
    [['a.csv', '--detector', 'all', '--scores', 'o.csv'], '--scores requires a single'],
    [['a.csv', '--by', 'window'], '--by window requires --labels'],
    [['a.csv', '--by', 'day'], "not 'day'"],
    [['a.csv', '--treshold', '3'], '--treshold'],
  ])('rejects %j', (args, message) => {
    expect(() => readOptions(args)).toThrow(message)
  })
})
