import { runProgram, type Step } from '../lib/step.ts'
import { findServer } from '../stack/redis.ts'
import { NOTHING } from './counts.ts'

const LIMIT_MS = 240_000

/**
 * The quick bench, held against the committed table. It only warns: figures depend on who else uses the machine, and a test
 * that fails for that is soon believed no more.
 */
export function benchStep(): Step {
  return {
    group: 'bench',
    title: 'quick bench',
    async run({ stop }) {
      const skipped = (note: string) => ({ counts: { ...NOTHING, skipped: 1 }, output: '', note })
      if (process.platform !== 'linux') return skipped('it reads CPU times where only Linux has them')
      if (findServer() === undefined) return skipped('there is no redis-server')
      const program = { name: 'bench', file: process.execPath, args: ['tools/bench/main.ts', '--quick', '--check'] }
      const { code, output } = await runProgram({ ...program, limitMs: LIMIT_MS }, stop)
      if (code !== 0) return skipped(`it did not come to its end: ${output.split('\n').at(-1)}`)
      const warnings = output.split('\n').filter(line => line.startsWith('WARNING'))
      return {
        counts: { ...NOTHING, passed: 1 },
        output,
        note: warnings.length === 0 ? 'nothing became dearer' : warnings.join('; '),
      }
    },
  }
}
