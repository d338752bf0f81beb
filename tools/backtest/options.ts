import { DETECTOR_NAMES } from '@tidemark/shared/detection/detectors/registry'
import { CSV_OPTIONS, csvOptionsOf } from '../lib/csv/options.ts'
import { type Command, choice, flag, parseCommandLine, repeated, text, UsageError } from '../lib/options.ts'

export const COMMAND = {
  call: 'npm run backtest --',
  summary:
    'Runs recorded samples through the detection code of production, and shows what it would have flagged and alerted on.',
  operands: 'FILE.csv|FOLDER',
  details:
    'Encoding, delimiter, header, columns and formats of a CSV file are detected and shown; options replace each of ' +
    'these decisions. If a folder is given, every .csv, .csv.gz and .csv.zst file in and below it is run; a file that ' +
    'cannot be read is named, and the others are run.\n\n' +
    'Any number of detectors and rules files are compared side by side, a row each. Without any, it is the default: ' +
    'z-scores, with the default alerts.',
  options: {
    detector: repeated(
      choice([...DETECTOR_NAMES, 'all'], {
        placeholder: 'NAME',
        help: `a detector with its defaults: ${DETECTOR_NAMES.join(', ')} or all (default zscore, without --rules)`,
      }),
    ),
    rules: repeated(
      text({ placeholder: 'FILE', help: 'the rules in a JSON file: a rule, an array of rules or {"rules": [...]}' }),
    ),
    labels: text({
      placeholder: 'FILE',
      help:
        'the time ranges of real anomalies: {"file.csv": [["start", "end"], ...]}, [["start", "end"], ...] or a CSV ' +
        'file of lines start,end or file,start,end. Files are named by their path below FOLDER. Adds precision, recall ' +
        'and delay',
    }),
    by: choice(['window', 'alert'], {
      placeholder: 'window|alert',
      help: 'list what happened: each labelled window with the delay of each variant, or each alert',
    }),
    json: flag('print the result as JSON instead of tables'),
    scores: text({
      placeholder: 'OUT',
      help:
        'write timestamp,value,anomaly_score for each row: 0 to 1, 0.5 at the threshold, 0 while warming; with --labels ' +
        'also label, 1 inside a window. For a folder, OUT is a folder with files of the same paths. Requires a single ' +
        'detector or rules file',
    }),
    plot: text({
      placeholder: 'OUT',
      help: 'plot values, normal range, flagged samples and alerts as OUT.png or OUT.html. For a folder, OUT is a folder',
    }),
    ...CSV_OPTIONS,
  },
  notes:
    'The exit code is 0 if every file had samples, 1 if one had none or could not be read, and 2 for an invalid command ' +
    'line. Refused lines are counted and described, and do not change it. docs/rules.md describes the rules.',
  examples: [
    'cpu.csv',
    'cpu.csv --detector all --labels faults.json',
    'cpu.csv --detector novelty --rules quieter.json --plot cpu.html',
    'recordings --labels windows.json',
    'recordings --labels windows.json --rules now.json --rules proposed.json --by window',
    'recordings --detector habit --scores scores',
    'export.csv --dry-run',
    'export.csv --time Date,Time --value cpu,mem --key host',
  ],
} satisfies Command

export type BacktestOptions = ReturnType<typeof readOptions>

export function readOptions(args: readonly string[]) {
  const { values, operands } = parseCommandLine(COMMAND, args)
  const { rules, labels, scores, plot, by, json } = values
  const [input, extra] = operands
  if (input === undefined) throw new UsageError('A CSV file or a folder is required')
  if (extra !== undefined) {
    throw new UsageError(`Unexpected argument '${extra}': give one file, or the folder that contains the files`)
  }
  const detectors = new Set(values.detector.flatMap(name => (name === 'all' ? DETECTOR_NAMES : [name])))
  if (detectors.size === 0 && rules.length === 0) detectors.add('zscore')
  if (scores !== undefined && detectors.size + rules.length > 1) {
    throw new UsageError('--scores requires a single --detector or --rules: it writes one column of scores')
  }
  if (by === 'window' && labels === undefined) throw new UsageError('--by window requires --labels')
  const csv = csvOptionsOf(values)
  const output = { labels, scores, plot, by, isJson: json }
  return { input, csv, isDryRun: values['dry-run'], rules, detectors: [...detectors], ...output }
}
