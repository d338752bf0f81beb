import { parseArgs } from 'node:util'
import { DETECTOR_NAMES, type DetectorName, isDetectorName } from '@tidemark/shared/detection/detectors/registry'

export interface BacktestOptions {
  /** A CSV file, or a folder of them. */
  readonly input: string
  readonly rules: readonly string[]
  readonly detectors: readonly DetectorName[]
  readonly labels: string | undefined
  readonly scores: string | undefined
  readonly plot: string | undefined
}

export type BacktestCommand =
  | { readonly kind: 'backtest'; readonly options: BacktestOptions }
  | { readonly kind: 'help' }
  /** A sentence that names the option and what it takes. */
  | { readonly kind: 'wrong'; readonly reason: string }

export const HELP = `Runs recorded samples through the core that judges in production, and says what it would have flagged and alerted.

Usage: npm run backtest -- FILE.csv|FOLDER [options]

A file has lines of timestamp,value[,key], with a header that names the columns or without. Timestamps are Unix seconds,
Unix milliseconds or ISO 8601 ("2014-04-01 00:00:00" is one, in UTC). Of a folder every .csv file in and below it is run.

Options:
  --detector NAME   judge by this detector with its defaults: ${DETECTOR_NAMES.join(', ')},
                    or all; may be given several times. Without --detector and --rules: zscore
  --rules FILE      judge by the rules in a JSON file: one rule, an array of them, or {"rules": [...]}; may be given
                    several times. docs/rules.md says what a rule is
  --labels FILE     when something was really wrong: {"file.csv": [["start", "end"], ...]}, [["start", "end"], ...] or a
                    CSV file of lines start,end. Adds precision, recall and delay
  --scores OUT.csv  writes timestamp,value,anomaly_score for each row: from 0 to 1, 0.5 at the threshold, 0 while
                    warming. Of a folder OUT is a folder, with a file for each. Takes one detector or one file of rules
  --plot OUT.png    draws value, band, flagged samples and alerts; OUT.html makes a page of it. Of a folder OUT is a
                    folder, with a page for each file
  --help            this text

Examples:
  npm run backtest -- cpu.csv
  npm run backtest -- cpu.csv --detector all --labels faults.json
  npm run backtest -- cpu.csv --detector novelty --rules quieter.json --plot cpu.html
  npm run backtest -- recordings --detector habit --scores scores
`

/** Reads the command line. */
export function parseBacktest(args: readonly string[]): BacktestCommand {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    // node:util explains at length how to pass arguments that begin with a dash; the first sentence names the option.
    return wrong(error instanceof Error ? (error.message.split('. ')[0] ?? error.message) : String(error))
  }
  const { values, positionals } = parsed
  if (values.help === true) return { kind: 'help' }
  const [input, extra] = positionals
  if (input === undefined) return wrong('Name a CSV file, or a folder of them')
  if (extra !== undefined) return wrong(`Unexpected argument '${extra}': name one file, or the folder that holds them`)

  const detectors: DetectorName[] = []
  for (const name of values.detector ?? []) {
    if (name === 'all') detectors.push(...DETECTOR_NAMES)
    else if (isDetectorName(name)) detectors.push(name)
    else return wrong(`--detector takes one of ${DETECTOR_NAMES.join(', ')} or all, not '${name}'`)
  }
  const rules = values.rules ?? []
  if (detectors.length === 0 && rules.length === 0) detectors.push('zscore')
  const { labels, scores, plot } = values
  if (scores !== undefined && detectors.length + rules.length > 1) {
    return wrong('--scores takes one --detector or one --rules: scores of several would be one column')
  }
  return { kind: 'backtest', options: { input, rules, detectors: [...new Set(detectors)], labels, scores, plot } }
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      detector: { type: 'string', multiple: true },
      rules: { type: 'string', multiple: true },
      labels: { type: 'string' },
      scores: { type: 'string' },
      plot: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
}

function wrong(reason: string): BacktestCommand {
  return { kind: 'wrong', reason }
}
