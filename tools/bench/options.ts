import { parseArgs } from 'node:util'

export const HELP = `Measures Tidemark against the floors of its parts, all on this computer and in the same run.

Usage: npm run bench -- [options]

  --quick      one round of the figures that matter most, in less than a minute
  --rounds N   interleaved rounds of each figure (5)
  --only TEXT  only scenarios whose names contain this: ${'single, batches, drain, end to end, delay, redis, scaling'}
  --check      compare with the committed table, tools/bench/baseline.json, and warn about what became dearer
  --write      write bench/results/<date>.json and the table of docs/performance.md
  --flame      instead draw where the services' time goes: bench/profiles/*.svg
  --footprint  instead print what a key occupies and a sample moves, in bytes
  --help       this text

Examples: npm run bench
          npm run bench -- --quick --check
          npm run bench -- --only drain --rounds 3
`

export interface Options {
  readonly quick: boolean
  readonly rounds: number
  readonly only: string
  readonly check: boolean
  readonly write: boolean
  readonly flame: boolean
  readonly footprint: boolean
  readonly help: boolean
}

/** Throws an error with a sentence for what it does not know. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string', default: '' },
      check: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      flame: { type: 'boolean', default: false },
      footprint: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5))
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 50) throw new Error('--rounds must be a number from 1 to 50')
  return { ...values, rounds }
}
