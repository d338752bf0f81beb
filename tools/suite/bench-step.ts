import { findServer } from '../stack/redis.ts'
import { NOTHING } from './counts.ts'
import { runProgram, type Step } from './step.ts'

const LIMIT_MS = 240_000

/**
 * Compares the quick benchmark with the committed figures. It only warns: figures depend on the
 * load of the machine, and a test that fails at random is soon ignored.
 */
export function benchStep(): Step {
  return {
    group: 'bench',
    title: 'quick benchmark',
    async run({ stop }) {
      const skipped = (note: string) => ({ counts: { ...NOTHING, skipped: 1 }, output: '', note })
      if (process.platform !== 'linux') return skipped('it reads CPU times from /proc, which only Linux has')
      if (findServer() === undefined) return skipped('redis-server is not installed')
      const program = { name: 'bench', file: process.execPath, args: ['tools/bench/main.ts', '--quick', '--check'] }
      const { code, output } = await runProgram({ ...program, limitMs: LIMIT_MS }, stop)
      if (code !== 0) return skipped(`it failed: ${output.split('\n').at(-1)}`)
      const warnings = output.split('\n').filter(line => line.startsWith('WARNING'))
      return {
        counts: { ...NOTHING, passed: 1 },
        output,
        note: warnings.length === 0 ? 'no figure got worse' : warnings.join('; '),
      }
    },
  }
}
