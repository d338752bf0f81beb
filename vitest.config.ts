import { defineConfig } from 'vitest/config'

const common = { environment: 'node', restoreMocks: true } as const

/** unit: no network, no sleep. integration: a real Redis. e2e: real processes. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: 'unit',
          include: [
            'packages/*/src/**/*.test.ts',
            'scripts/**/*.test.ts',
            'test/tidy.test.ts',
            'test/monitoring/**/*.test.ts',
          ],
        },
      },
      {
        test: {
          ...common,
          name: 'integration',
          include: ['packages/*/test/**/*.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          ...common,
          name: 'e2e',
          include: ['test/**/*.test.ts'],
          exclude: ['test/tidy.test.ts', 'test/monitoring/**'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
