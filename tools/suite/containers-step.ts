import type { Step } from '../lib/step.ts'
import { NOTHING } from './counts.ts'
import { withDockerEngine } from './docker.ts'
import { runVitest } from './vitest-step.ts'

const LIMIT_MS = 360_000

/** The store's contract once more, against a Redis in a container: another build, reached over another network. */
export function containersStep(): Step {
  return {
    group: 'containers',
    title: 'Redis in a container',
    async run(context) {
      const said: string[] = []
      const engine = await withDockerEngine(text => void said.push(text))
      if ('unavailable' in engine) {
        return { counts: { ...NOTHING, skipped: 1 }, output: said.join('\n'), note: engine.unavailable }
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
      return { ...result, output: [...said, result.output].join('\n') }
    },
  }
}
