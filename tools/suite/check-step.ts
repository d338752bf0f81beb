import { installed, type Program, runProgram, type Step } from '../lib/step.ts'
import { NOTHING } from './counts.ts'

const LIMIT_MS = 180_000

/** Checks that are one program each: it passes when the program says so. */
export function checkSteps(): Step[] {
  return [
    programStep('format and lint', [
      { name: 'biome', args: ['ci', `--colors=${process.stdout.isTTY ? 'force' : 'off'}`, '.'] },
    ]),
    programStep('types', [
      { name: 'turbo', args: ['run', 'typecheck', '--output-logs=errors-only'] },
      { name: 'tsc', args: ['--noEmit', '-p', '.'] },
    ]),
    programStep('boundaries', [{ name: 'turbo', args: ['boundaries'] }]),
  ]
}

function programStep(title: string, programs: readonly Pick<Program, 'name' | 'args'>[]): Step {
  return {
    group: 'check',
    title,
    async run({ stop }) {
      const outputs: string[] = []
      for (const { name, args } of programs) {
        const { code, output } = await runProgram({ name, file: installed(name), args, limitMs: LIMIT_MS }, stop)
        outputs.push(output)
        if (code !== 0) return { counts: { ...NOTHING, failed: 1 }, output: outputs.join('\n') }
      }
      return { counts: { ...NOTHING, passed: 1 }, output: outputs.join('\n') }
    },
  }
}
