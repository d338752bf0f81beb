import { type Command, integer, parseCommandLine, runCommand } from '@tidemark/tools/lib/options'
import { openProgress } from '@tidemark/tools/lib/progress'
import { fuzzBodies } from './bodies-run.ts'

const COMMAND = {
  call: 'npm run fuzz --',
  summary:
    'Sends random batches to a gateway, each damaged in one place as devices do it, and checks that every intact sample ' +
    'is stored exactly once and every damage is named.',
  options: {
    size: integer({ min: 1, max: 1e9, default: 100_000, help: 'bodies to send' }),
    seed: integer({ min: 0, max: 2 ** 31, help: 'repeat the bodies of an earlier run (default: random, printed)' }),
  },
  examples: ['', '--size 1000 --seed 1'],
} satisfies Command

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const { values } = parseCommandLine(COMMAND, process.argv.slice(2))
  const seed = values.seed ?? Math.floor(Math.random() * 2 ** 31)
  process.stderr.write(`seed ${seed}\n`)
  using progress = openProgress({ output: process.stderr, total: values.size })
  const { bodies, stored, damages, violations } = await fuzzBodies(values.size, seed, (done, count) =>
    progress.update(done, `${count} violations`),
  )
  process.stdout.write(`${bodies} bodies with ${damages.size} kinds of damage, ${stored} samples stored\n`)
  if (violations.length === 0) return 0
  process.stderr.write(`\nviolations:\n${violations.map(violation => `  ${violation}\n`).join('')}seed ${seed}\n`)
  return 1
}
