import { type Command, Failure, integer, parseCommandLine, runCommand } from '@tidemark/tools/lib/options'
import { openProgress } from '@tidemark/tools/lib/progress'
import { checkOutRelease, missingRelease } from './released.ts'
import { roll } from './rolling.ts'

const COMMAND = {
  call: 'npm run upgrade --',
  summary:
    'Runs processes of version 0.1.0 and of this version side by side under load, replaces each by the other version ' +
    'again and again, and checks that no sample is lost and every verdict is correct.',
  options: {
    rollouts: integer({ min: 1, max: 1000, default: 20, help: 'how often all processes are replaced' }),
    samples: integer({ min: 1, max: 1e6, default: 2000, help: 'samples between two replacements' }),
    seed: integer({ min: 0, max: 2 ** 31, help: 'repeat an earlier run (default: random, printed)' }),
  },
  examples: ['', '--rollouts 4 --seed 1'],
} satisfies Command

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const { values } = parseCommandLine(COMMAND, process.argv.slice(2))
  const missing = await missingRelease()
  if (missing !== undefined) throw new Failure(missing)
  const seed = values.seed ?? Math.floor(Math.random() * 2 ** 31)
  process.stderr.write(`seed ${seed}\n`)
  const release = await checkOutRelease()
  using progress = openProgress({ output: process.stderr, title: 'upgrade' })
  const result = await roll({
    seed,
    release,
    rollouts: values.rollouts,
    samplesBetween: values.samples,
    everyMs: 5,
    onProgress: text => progress.update(0, text),
  })
  const { samples, replaced, killed, violations } = result
  process.stdout.write(
    `${samples} samples, ${replaced} processes replaced, of which ${killed} were killed, ` +
      `${violations.length} violations\n${violations.map(text => `  ${text}\n`).join('')}`,
  )
  return violations.length === 0 ? 0 : 1
}
