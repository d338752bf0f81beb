import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../lib/project.ts'
import { EXERCISES, readOptions } from './options.ts'

test('without options everything is tried with the local overlay', () => {
  expect(readOptions([])).toMatchObject({
    overlay: join(ROOT, 'k8s/overlays/local'),
    out: join(ROOT, 'docs'),
    exercises: EXERCISES,
    shapes: ['steady', 'ramp', 'spike'],
    rps: 500,
    down: false,
  })
})

test('exercises run in their own order, whatever order they are given in', () => {
  expect(readOptions(['--only', 'restore,kill'])).toMatchObject({ exercises: ['kill', 'restore'], out: undefined })
})

test.each([
  [['--only', 'kil'], '--only must be a comma-separated list, each one of verdicts, kill'],
  [['--url', 'localhost'], '--url must be an address like http://streaming.local'],
  [['--rps', '1'], '--rps must be an integer from 10'],
])('%j is refused', (args, message) => {
  expect(() => readOptions(args)).toThrow(message)
})
