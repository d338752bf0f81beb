import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/**
 * As a turbo task, vitest runs for one package and writes a report into that package's folder. The
 * report is an output of the task: a cached task restores it, and npm test counts the tests from
 * it.
 */
const isTurboTask = process.env.TURBO_HASH !== undefined

/**
 * Limits only end tests that hang: a machine a tenth as fast as usual must pass. Whatever a test
 * waits for ends the wait, so a long limit costs a test that passes nothing.
 */
const common = {
  environment: 'node',
  restoreMocks: true,
  testTimeout: 120_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 100_000 } },
} as const

/** Real processes. The limit of a hook covers the start of several of them. */
const endToEnd = { ...common, testTimeout: 900_000, hookTimeout: 300_000 } as const

/** Tests that measure times, rates or memory, or that use all processors. */
const ALONE = [
  'chaos',
  'console',
  'feed',
  'hostile',
  'load',
  'memory',
  'monitoring',
  'overload',
  'pipeline',
  'rate-limits',
  'rules',
].map(name => `test/${name}.test.ts`)

/**
 * unit: no network, no sleep. repository: the files of the whole repository. integration: a real
 * Redis. e2e: real processes. e2e-alone: of these, the files that run one at a time; most others
 * wait for timers, so two of them run at once on any machine.
 */
export default defineConfig({
  test: {
    reporters: isTurboTask ? ['default', 'json'] : ['default'],
    outputFile: { json: join(process.cwd(), '.turbo', 'report.json') },
    projects: [
      {
        test: {
          ...common,
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts', 'tools/**/*.test.ts'],
          exclude: ['**/node_modules/**', 'packages/*/test/integration/**'],
        },
      },
      {
        test: {
          ...common,
          name: 'repository',
          include: ['test/tidy/**/*.test.ts', 'test/monitoring/**/*.test.ts'],
        },
      },
      {
        test: {
          ...common,
          name: 'integration',
          include: ['packages/*/test/integration/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...endToEnd,
          name: 'e2e',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', 'test/tidy/**/*.test.ts', 'test/monitoring/**', ...ALONE],
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...endToEnd,
          name: 'e2e-alone',
          include: ALONE,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
})
