import { parseArgs } from 'node:util'

export type NoiseCommand =
  | { readonly kind: 'noise'; readonly isQuick: boolean; readonly isPrinted: boolean }
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly reason: string }

export const HELP = `Measures how noisy, how sharp and how costly each detector is, and writes the tables into docs/detection.md.

Usage: npm run noise -- [options]

  --quick   a hundredth of the samples, in seconds; prints the tables instead of writing them
  --print   prints the tables instead of writing them
  --help    this text
`

/** Reads the command line. */
export function parseNoise(args: readonly string[]): NoiseCommand {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        print: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) return { kind: 'help' }
    return { kind: 'noise', isQuick: values.quick, isPrinted: values.print || values.quick }
  } catch (error) {
    return { kind: 'wrong', reason: error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error) }
  }
}
