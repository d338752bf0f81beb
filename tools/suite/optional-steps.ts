import { findDockerEngine } from '../stack/docker-engine.ts'
import { findServer } from '../stack/redis.ts'
import { NOTHING } from './counts.ts'
import { runProgram, type Step, type StepResult } from './step.ts'
import { runVitest } from './vitest-step.ts'

const STORE_TESTS = 'packages/testkit/test/integration/redis-store.test.ts'

/** Tests the Redis store with a Redis in a container, if there is a Docker engine. */
export const CONTAINERS_STEP: Step = {
  group: 'containers',
  title: 'Redis in a container',
  async run(context) {
    const lines: string[] = []
    const engine = await findDockerEngine(line => void lines.push(line))
    if ('unavailable' in engine) return skipped(engine.unavailable, lines.join('\n'))
    await using running = engine
    const run = {
      project: 'integration',
      files: [STORE_TESTS],
      env: running.env,
    } as const
    const { counts, output } = await runVitest(run, context)
    return { counts, output: [...lines, output].join('\n'), note: lines.join('; ') }
  },
}

/**
 * Compares the quick benchmark with the committed figures. It only warns: figures depend on the
 * load of the machine, and a test that fails at random is soon ignored.
 */
export const BENCH_STEP: Step = {
  group: 'bench',
  title: 'quick benchmark',
  async run(context) {
    if (process.platform !== 'linux') return skipped('it reads CPU times from /proc, which only Linux has')
    if (findServer() === undefined) return skipped('redis-server is not installed')
    const args = ['tools/bench/main.ts', '--quick', '--check']
    const program = { name: 'bench', file: process.execPath, args }
    const { code, output } = await runProgram(program, context)
    if (code !== 0) return skipped(`it failed: ${output.split('\n').at(-1)}`)
    const warnings = output.split('\n').filter(line => line.startsWith('WARNING'))
    return { counts: { ...NOTHING, passed: 1 }, output, note: warnings.join('; ') || 'no figure got worse' }
  },
}

function skipped(note: string, output = ''): StepResult {
  return { counts: { ...NOTHING, skipped: 1 }, output, note }
}
