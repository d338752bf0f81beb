import { type Command, choice, integer, parseCommandLine, runCommand } from '@tidemark/tools/lib/options'
import { openProgress } from '@tidemark/tools/lib/progress'
import { fuzzBodies } from './bodies-run.ts'
import { fuzzPayloads } from './payloads-run.ts'

const COMMAND = {
  call: 'npm run fuzz --',
  summary:
    'Sends random batches to a gateway, each damaged in one place as devices do it, and checks that every intact sample ' +
    'is stored exactly once and every damage is named.',
  details:
    'With --of payloads, reads damaged MQTT payloads of devices instead (plain numbers, JSON, Sparkplug B), and checks ' +
    'that nothing is thrown, takes long or fills the memory, and that each is samples, or counted with a reason.',
  options: {
    of: choice(['bodies', 'payloads'], { placeholder: 'WHAT', default: 'bodies', help: 'what is damaged' }),
    size: integer({ min: 1, max: 1e9, help: 'how many (default 100000 bodies, 1000000 payloads)' }),
    seed: integer({ min: 0, max: 2 ** 31, help: 'repeat those of an earlier run (default: random, printed)' }),
  },
  examples: ['', '--size 1000 --seed 1', '--of payloads'],
} satisfies Command

process.exitCode = await runCommand(COMMAND, process.argv.slice(2), main)

async function main(): Promise<number> {
  const { values } = parseCommandLine(COMMAND, process.argv.slice(2))
  const seed = values.seed ?? Math.floor(Math.random() * 2 ** 31)
  const size = values.size ?? (values.of === 'bodies' ? 100_000 : 1_000_000)
  process.stderr.write(`seed ${seed}\n`)
  using progress = openProgress({ output: process.stderr, total: size })
  const onProgress = (done: number, count: number) => progress.update(done, `${count} violations`)
  const { summary, violations } = values.of === 'bodies' ? await bodies() : payloads()
  process.stdout.write(`${summary}\n`)
  if (violations.length === 0) return 0
  process.stderr.write(`\nviolations:\n${violations.map(violation => `  ${violation}\n`).join('')}seed ${seed}\n`)
  return 1

  async function bodies() {
    const { bodies, stored, damages, violations } = await fuzzBodies(size, seed, onProgress)
    return { violations, summary: `${bodies} bodies with ${damages.size} kinds of damage, ${stored} samples stored` }
  }

  function payloads() {
    const { payloads, samples, skipped, violations } = fuzzPayloads(size, seed, onProgress)
    const counts = [...skipped].map(([reason, count]) => `${count} ${reason}`).join(', ')
    return { violations, summary: `${payloads} payloads, ${samples} samples; skipped: ${counts}` }
  }
}
