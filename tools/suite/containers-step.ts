import { findDockerEngine } from '../stack/docker-engine.ts'
import { NOTHING } from './counts.ts'
import type { Step } from './step.ts'
import { runVitest } from './vitest-step.ts'

const LIMIT_MS = 360_000

/** Tests the Redis store with a Redis in a container, if there is a Docker engine. */
export function containersStep(): Step {
  return {
    group: 'containers',
    title: 'Redis in a container',
    async run(context) {
      const lines: string[] = []
      const engine = await findDockerEngine(line => void lines.push(line))
      if ('unavailable' in engine) {
        return { counts: { ...NOTHING, skipped: 1 }, output: lines.join('\n'), note: engine.unavailable }
      }
      await using running = engine
      const result = await runVitest(
        {
          project: 'integration',
          files: ['packages/testkit/test/integration/redis-store.test.ts'],
          env: running.env,
          limitMs: LIMIT_MS,
        },
        context,
      )
      return { ...result, output: [...lines, result.output].join('\n'), note: lines.join('; ') }
    },
  }
}
