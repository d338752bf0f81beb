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
            'packages/*/test/**/*.test.ts',
            'tools/**/*.test.ts',
            'test/tidy/**/*.test.ts',
            'test/monitoring/**/*.test.ts',
          ],
          exclude: ['**/node_modules/**', 'packages/*/test/integration/**'],
        },
      },
      {
        test: {
          ...common,
          name: 'integration',
          include: ['packages/*/test/integration/**/*.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          ...common,
          name: 'e2e',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', 'test/tidy/**/*.test.ts', 'test/monitoring/**'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
